from nodeagent import errors


def all_errors():
    pending = [errors.NodeagentError]
    while pending:
        error = pending.pop()
        yield error
        pending.extend(error.__subclasses__())


def test_every_error_has_a_code_of_its_own_and_stands_in_the_drawing():
    found = list(all_errors())
    assert len({error.code for error in found}) == len(found)
    for error in found:
        assert error.__name__ in (errors.__doc__ or "")


def test_an_error_survives_the_way_from_a_child():
    for error in all_errors():
        rebuilt = errors.by_code(error.code, "what happened")
        assert type(rebuilt) is error
        assert str(rebuilt) == "what happened"


def test_an_unknown_code_is_a_failed_worker():
    assert isinstance(errors.by_code("Nonsense", "x"), errors.WorkerFailed)

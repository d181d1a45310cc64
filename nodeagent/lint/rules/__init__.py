"""The rules, one module a family; each rule is a function from a repository or a program to findings."""

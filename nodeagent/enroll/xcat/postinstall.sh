#!/bin/sh
# Written by `nodeagent enroll xcat`, which also replaces it.
#
# Puts nodeagent and its configuration into a netboot image. genimage runs it, from the line that the image's .postinstall
# has for it, or as one of the osimage's postinstall=...; what it puts there lies beside it:
#
#   nodeagent-*.rpm                             the package, unless otherpkglist names it
#   nodeagent.toml, known_hosts, key.enc        go to /etc/nodeagent
set -eu
root=${IMG_ROOTIMGDIR:-${1-}}
case $root in
  /*) root=$(realpath "$root") ;;
esac
case $root in
  / | [!/]* | '')
    echo "nodeagent: the path of the image's root is needed, as genimage gives it: $0 ROOT" >&2
    exit 1
    ;;
esac
[ -d "$root/etc" ] || root=$root/rootimg # IMG_ROOTIMGDIR is the directory above in some versions
[ -d "$root/etc" ] || {
  echo "nodeagent: $root is no root of an image: it has no etc" >&2
  exit 1
}
here=$(dirname "$(realpath "$0")")

for package in "$here"/nodeagent-*.rpm; do
  if [ -e "$package" ]; then
    dnf --installroot "$root" --setopt=install_weak_deps=False --assumeyes install "$package"
  fi
done
install -d -m 0755 "$root/etc/nodeagent"
install -m 0644 "$here/nodeagent.toml" "$here/known_hosts" "$root/etc/nodeagent/"
install -m 0600 "$here/key.enc" "$root/etc/nodeagent/"

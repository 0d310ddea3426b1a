#!/bin/sh
# Installs the Debian packages that tests want, where it may (root, or sudo without a password). Never fails the
# build itself: tests whose package is missing skip by name, and fail under CI.
missing=""
for package in $(grep -v '^#' "$1"); do
    dpkg -s "$package" >/dev/null 2>&1 || missing="$missing $package"
done
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ]; then run=""
elif sudo -n true 2>/dev/null; then run="sudo -n"
else
    echo "Not installed, and this account may not install them:$missing (tests that need them are skipped)"
    exit 0
fi
echo "Installing Debian packages:$missing"
$run apt-get update -qq && DEBIAN_FRONTEND=noninteractive $run apt-get install -y -qq --no-install-recommends $missing >/dev/null ||
    echo "Some could not be installed:$missing (tests that need them are skipped)"

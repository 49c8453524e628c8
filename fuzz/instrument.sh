#!/bin/sh
# The compiler, for cargo's RUSTC_WORKSPACE_WRAPPER: our own crates get libFuzzer's coverage
# counters, registry crates are used as they were built for everything else. See
# docs/decisions/0010-fuzzing-on-stable.md.
case " $* " in
*" --crate-name build_script_"* | *" --crate-type proc-macro "* | *" --print "* | *" -vV "*) exec "$@" ;;
esac
exec "$@" -Copt-level=1 -Ccodegen-units=1 -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares

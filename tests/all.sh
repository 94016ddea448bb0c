#!/bin/sh
# All tests: two at a time, then by themselves those that measure time or take the stack's ports.
# Arguments go to pytest.
set -u
nothing_selected=5
.venv/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not alone" "$@"
shared=$?
[ "$shared" -le 1 ] || [ "$shared" -eq "$nothing_selected" ] || exit "$shared"
.venv/bin/python -m pytest -m alone "$@"
alone=$?
[ "$alone" -eq "$nothing_selected" ] && exit "$shared"
[ "$alone" -eq 0 ] && [ "$shared" -ne "$nothing_selected" ] && exit "$shared"
exit "$alone"

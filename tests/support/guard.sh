# Runs "$@" as a child that never outlives the process that asked for it.
# stdin   a pipe that the owner holds. A line names a signal for the child. The
#         end of the pipe, which also comes when the owner is killed, stops the
#         child: TERM, five seconds of grace, KILL.
# stdout  the child's process id, once.
# stderr  the log of the child.
exec 3<&0 </dev/null
"$@" >&2 3<&- &
child=$!
echo "$child"
exec >&2

{
    while read -r signal <&3; do kill -s "$signal" "$child"; done
    kill -s TERM "$child"
    checks=50
    while [ "$checks" -gt 0 ] && kill -s 0 "$child"; do
        sleep 0.1
        checks=$((checks - 1))
    done
    kill -s KILL "$child"
} 2>/dev/null &
watcher=$!
exec 3<&-

wait "$child"
status=$?
kill -s KILL "$watcher"
exit "$status"

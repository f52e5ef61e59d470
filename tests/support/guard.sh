# Runs "$@" as a child that never outlives the process that asked for it.
# stdin   a pipe that the owner holds. A line names a signal for the child, or is
#         `AFTER <process id>`: stop only once that process is gone. The end of the
#         pipe, which also comes when the owner is killed, stops the child: TERM,
#         five seconds of grace, KILL.
# stdout  the child's process id, once.
# stderr  the log of the child.
exec 3<&0 </dev/null
"$@" >&2 3<&- &
child=$!
echo "$child"
exec >&2

wait_gone() { # process id, tenths of a second
    checks=$2
    while [ "$checks" -gt 0 ] && kill -s 0 "$1"; do
        sleep 0.1
        checks=$((checks - 1))
    done
}

{
    after=
    while read -r order argument <&3; do
        case $order in
        AFTER) after="$after $argument" ;;
        *) kill -s "$order" "$child" ;;
        esac
    done
    for other in $after; do wait_gone "$other" 60; done
    kill -s TERM "$child"
    wait_gone "$child" 50
    kill -s KILL "$child"
} 2>/dev/null &
watcher=$!
exec 3<&-

wait "$child"
status=$?
kill -s KILL "$watcher"
exit "$status"

# Runs one function of a script for acme.sh. All that it is given is in the environment.
. "$CAIRNBOT_DIR/helpers.sh"
. "$CAIRNBOT_SCRIPT"
if ! command -v "$CAIRNBOT_FUNCTION" >/dev/null 2>&1; then
	_err "$CAIRNBOT_SCRIPT has no function $CAIRNBOT_FUNCTION"
	exit 1
fi
"$CAIRNBOT_FUNCTION" "$CAIRNBOT_NAME" "$CAIRNBOT_VALUE" >&2

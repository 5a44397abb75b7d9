# Functions that scripts of acme.sh's dnsapi directory call, written for cairnbot from what those
# scripts expect of them. It is read by sh (dash, busybox, bash): POSIX, and nothing beyond it but `local`-free names.
#
# Given by who runs this: CAIRNBOT_DIR (a private directory), CAIRNBOT_ACCOUNT_CONF (acme.sh's own settings, or "").
# Secrets go into files of CAIRNBOT_DIR, not into arguments: those every user of the machine can read.

PROJECT_NAME=acme.sh
USER_AGENT=${USER_AGENT:-cairnbot}
NO_VALUE=no
HTTP_HEADER=$CAIRNBOT_DIR/headers
ACCOUNT_CONF_PATH=$CAIRNBOT_DIR/account.conf
DOMAIN_CONF=$CAIRNBOT_DIR/domain.conf
LE_TEMP_DIR=$CAIRNBOT_DIR
TMPDIR=$CAIRNBOT_DIR
export TMPDIR
: >"$HTTP_HEADER"

# --- What scripts say. All of it goes to the standard error; the standard output is for values.

_info() {
	if [ -n "${2-}" ]; then
		printf '%s=%s\n' "$1" "$2" >&2
	else
		printf '%s\n' "$1" >&2
	fi
}
_err() {
	_info "$@"
	return 1
}
_usage() { _err "$@"; }
__green() { printf '%s' "$1"; }
__red() { printf '%s' "$1"; }
# Details are not shown: there are credentials among them.
_debug() { :; }
_debug2() { :; }
_debug3() { :; }
_secure_debug() { :; }
_secure_debug2() { :; }
_secure_debug3() { :; }
_log() { :; }
_syslog() { :; }

# --- Texts. Patterns are basic regular expressions, as scripts have them.

_contains() { printf '%s\n' "$1" | grep -- "$2" >/dev/null 2>&1; }
_startswith() { printf '%s\n' "$1" | grep -- "^$2" >/dev/null 2>&1; }
_endswith() { printf '%s\n' "$1" | grep -- "$2\$" >/dev/null 2>&1; }
_egrep_o() { grep -E -o -- "$1" 2>/dev/null; }
_upper_case() { LC_ALL=C tr '[:lower:]' '[:upper:]'; }
_lower_case() { LC_ALL=C tr '[:upper:]' '[:lower:]'; }
_head_n() { head -n "$1"; }
_tail_n() { tail -n "$1"; }
_tail_c() { tail -c "$1"; }
# _math EXPRESSION: numbers and operators alone. What services answer ends up here, and bash would run the commands
# that stand in it, or in a variable that it names.
_math() {
	case $* in
	*[!0-9\ +*/%\(\)\<\>=!\&\|^~?:-]*)
		_err "_math: this is not a calculation with numbers"
		return 1
		;;
	esac
	printf '%s' "$(($*))"
}

# _hasfield TEXT FIELD [SEPARATOR]
_hasfield() {
	printf '%s\n' "$1" | tr "${3:-,}" '\n' | grep -Fx -- "$2" >/dev/null 2>&1
}

# _getfield TEXT NUMBER [SEPARATOR]: the field, or the last one before it that is not empty.
_getfield() {
	_gf_number=$2
	while [ "$_gf_number" -gt 0 ]; do
		_gf_field=$(printf '%s\n' "$1" | cut -d "${3:-,}" -f "$_gf_number")
		if [ -n "$_gf_field" ]; then
			printf '%s' "$_gf_field"
			return 0
		fi
		_gf_number=$((_gf_number - 1))
	done
	printf '%s' "$1"
}

# _json_encode: standard input as the inside of a string of JSON.
_json_encode() {
	sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e "s/$(printf '\t')/\\\\t/g" -e "s/$(printf '\r')/\\\\r/g" |
		awk 'NR > 1 { printf "\\n" } { printf "%s", $0 }'
}
# _json_decode: quotation marks without their escapes, and slashes.
_json_decode() { sed -e 's/\\"/"/g' -e 's#\\/#/#g'; }
_normalizeJson() { sed -e 's/" *: *\(["{\[]\)/":\1/g' -e 's/^ *\([^ ]\)/\1/' -e 's/ *$//' | tr -d '\r\n'; }
_url_replace() { tr '/+' '_-' | tr -d '= '; }
_durl_fill_base64() { :; }
_is_idn() { printf '%s' "$1" | LC_ALL=C grep '[^A-Za-z0-9*.,_-]' >/dev/null; }
_idn() { printf '%s' "$1"; } # names come in their ASCII form
_isIPv4() { printf '%s\n' "$1" | grep -E '^([0-9]{1,3}\.){3}[0-9]{1,3}$' >/dev/null; }
_isIPv6() { printf '%s\n' "$1" | grep ':' >/dev/null; }
_isIP() { _isIPv4 "$1" || _isIPv6 "$1"; }

# --- Octets.

_hex_dump() { od -A n -v -t x1 | tr -s ' ' | sed 's/ $//' | tr -d '\r\t\n'; }
_ascii_hex() { printf '%s' "$1" | _hex_dump; }
# _h2b: pairs of hexadecimal digits become octets, by way of the octal escapes that every printf has.
_h2b() {
	_h2b_octets=$(LC_ALL=C tr -d ' \r\n\t' | _upper_case | awk '{
		digits = "0123456789ABCDEF"
		for (i = 1; i < length($0); i += 2)
			printf "\\%03o", (index(digits, substr($0, i, 1)) - 1) * 16 + index(digits, substr($0, i + 1, 1)) - 1
	}')
	# shellcheck disable=SC2059 # digits and backslashes alone
	printf "$_h2b_octets"
}
_h_char_2_dec() { printf '%d' "0x$1"; }
_base64() {
	if [ -n "${1-}" ]; then
		openssl base64 -e
	else
		openssl base64 -e -A
	fi
}
_dbase64() {
	if [ -n "${1-}" ]; then
		openssl base64 -d
	else
		openssl base64 -d -A
	fi
}
# _url_encode [upper-hex]: all but letters, digits and -_.~ is escaped.
_url_encode() {
	od -A n -v -t x1 | awk -v upper="${1-}" '
		BEGIN { for (i = 33; i < 127; i++) { c = sprintf("%c", i); if (c ~ /[A-Za-z0-9_.~-]/) plain[sprintf("%02x", i)] = c } }
		{ for (i = 1; i <= NF; i++) if ($i in plain) printf "%s", plain[$i]; else printf "%%%s", upper != "" ? toupper($i) : $i }'
}

# _digest ALGORITHM [hex]: of standard input; in base64 without "hex".
_digest() {
	if [ -n "${2-}" ]; then
		openssl dgst "-$1" -r | cut -d ' ' -f 1
	else
		openssl dgst "-$1" -binary | _base64
	fi
}

# _hmac ALGORITHM SECRET-IN-HEX [hex]: of standard input; octets without "hex". It is put together here (RFC 2104 §2), for
# openssl takes the secret in an argument only, where every user of the machine can read it.
_hmac() {
	if [ -z "${2-}" ]; then
		_err "_hmac: there is no secret"
		return 1
	fi
	case $1 in
	sha384 | sha512 | SHA384 | SHA512) _hm_block=128 ;;
	*) _hm_block=64 ;;
	esac
	_hm_key=$2
	if [ ${#_hm_key} -gt $((_hm_block * 2)) ]; then
		_hm_key=$(printf '%s' "$_hm_key" | _h2b | openssl dgst "-$1" -r | cut -d ' ' -f 1)
	fi
	if [ -n "${3-}" ]; then
		_hmac_octets "$1" | openssl dgst "-$1" -r | cut -d ' ' -f 1
	else
		_hmac_octets "$1" | openssl dgst "-$1" -binary
	fi
}
# _hmac_octets ALGORITHM: what the outer digest is of.
_hmac_octets() {
	_hmac_pad 5c
	{
		_hmac_pad 36
		cat
	} | openssl dgst "-$1" -binary
}
# _hmac_pad HEX: the key, filled up with zeros, each octet with the bits of HEX turned over.
_hmac_pad() {
	printf '%s' "$_hm_key" | _upper_case | awk -v pad="$1" -v size="$_hm_block" '
		function turned(a, b, i, bit, sum) {
			for (i = 1; i < 256; i *= 2) if (int(a / i) % 2 != int(b / i) % 2) sum += i
			return sum
		}
		function octet(text) { return (index(digits, substr(text, 1, 1)) - 1) * 16 + index(digits, substr(text, 2, 1)) - 1 }
		{ key = key $0 }
		END {
			digits = "0123456789ABCDEF"
			for (n = 0; n < size; n++) printf "%02X", turned(n * 2 < length(key) ? octet(substr(key, n * 2 + 1, 2)) : 0, octet(toupper(pad)))
		}' | _h2b
}

# _sign KEYFILE ALGORITHM: a signature of standard input, in base64.
_sign() { openssl dgst "-$2" -sign "$1" | _base64; }

# --- The machine.

_exists() { command -v "$1" >/dev/null 2>&1; }
_mktemp() { mktemp "$CAIRNBOT_DIR/tmp.XXXXXXXX"; }
_time() { date -u +%s; }
_utc_date() { date -u '+%Y-%m-%d %H:%M:%S'; }
_sleep() { sleep "$1"; }
_is_solaris() { return 1; }
_sed_i() { sed "$1" "$2" >"$2.new" && cat "$2.new" >"$2" && rm -f "$2.new"; }

# --- Settings that scripts keep: KEY='VALUE' in a file. They live as long as the run of cairnbot does;
# acme.sh's own are read, and never written.

_B64_BEGIN=__ACME_BASE64__START_
_B64_END=__ACME_BASE64__END_

# _conf_line FILE KEY: the value as it is written.
_conf_line() {
	[ -n "$1" ] && [ -r "$1" ] || return 0
	sed -n "s/^$2 *= *//p" "$1" | tail -n 1 | sed -e "s/^'\(.*\)'\$/\1/" -e 's/^"\(.*\)"$/\1/'
}
_read_conf() {
	_rc_value=$(_conf_line "$1" "$2")
	case $_rc_value in
	"$_B64_BEGIN"*"$_B64_END")
		_rc_value=${_rc_value#"$_B64_BEGIN"}
		printf '%s' "${_rc_value%"$_B64_END"}" | _dbase64
		;;
	*) printf '%s' "$_rc_value" ;;
	esac
}
_clear_conf() {
	[ -f "$1" ] || return 0
	sed "/^$2 *=/d" "$1" >"$1.new" && cat "$1.new" >"$1" && rm -f "$1.new"
}
# _save_conf FILE KEY VALUE [base64]
_save_conf() {
	_clear_conf "$1" "$2"
	if [ -n "${4-}" ] && [ -n "$3" ]; then
		printf "%s='%s%s%s'\n" "$2" "$_B64_BEGIN" "$(printf '%s' "$3" | _base64)" "$_B64_END" >>"$1"
	else
		printf "%s='%s'\n" "$2" "$(printf '%s' "$3" | tr -d '\r\n')" >>"$1"
	fi
}
_readaccountconf() {
	_ra_value=$(_read_conf "$ACCOUNT_CONF_PATH" "$1")
	if [ -z "$_ra_value" ]; then
		_ra_value=$(_read_conf "$CAIRNBOT_ACCOUNT_CONF" "$1")
	fi
	printf '%s' "$_ra_value"
}
_readaccountconf_mutable() { _readaccountconf "SAVED_$1"; }
_saveaccountconf() { _save_conf "$ACCOUNT_CONF_PATH" "$1" "$2" "${3-}"; }
_saveaccountconf_mutable() { _save_conf "$ACCOUNT_CONF_PATH" "SAVED_$1" "$2" "${3-}"; }
_clearaccountconf() { _clear_conf "$ACCOUNT_CONF_PATH" "$1"; }
_clearaccountconf_mutable() { _clear_conf "$ACCOUNT_CONF_PATH" "SAVED_$1"; }
_readdomainconf() { _read_conf "$DOMAIN_CONF" "$1"; }
_savedomainconf() { _save_conf "$DOMAIN_CONF" "$1" "$2" "${3-}"; }
_cleardomainconf() { _clear_conf "$DOMAIN_CONF" "$1"; }

# --- Requests, with curl. _H1 to _H5 are headers; HTTP_HEADER is the file that gets those of the answer.

_resethttp() { :; }
_inithttp() { :; }

# _curl_quote: a value for curl's own settings file, in quotation marks.
_curl_quote() { printf '"%s"\n' "$(printf '%s' "$1" | tr -d '\r\n' | sed -e 's/\\/\\\\/g' -e 's/"/\\"/g')"; }

# _request METHOD ADDRESS BODY TYPE TIMEOUT: sends it, and prints the answer whatever its status. The body is in the file BODY.
_request() {
	if ! _exists curl; then
		_err "curl is needed for this script: apt-get install curl, or what your system has for it"
		return 1
	fi
	_rq_conf=$(_mktemp) || return 1
	{
		printf 'url = '
		_curl_quote "$2"
		printf 'user-agent = '
		_curl_quote "$USER_AGENT"
		if [ -n "$4" ]; then
			printf 'header = '
			_curl_quote "Content-Type: $4"
		fi
		for _rq_header in "${_H1-}" "${_H2-}" "${_H3-}" "${_H4-}" "${_H5-}"; do
			if [ -n "$_rq_header" ]; then
				printf 'header = '
				_curl_quote "$_rq_header"
			fi
		done
		if [ -n "$3" ]; then
			printf 'data-binary = '
			_curl_quote "@$3"
		fi
		if [ "$1" = HEAD ]; then
			printf 'head\n'
		else
			printf 'request = '
			_curl_quote "$1"
		fi
		if [ -z "${ACME_HTTP_NO_REDIRECTS-}" ]; then
			printf 'location\n'
		fi
		if [ -n "${HTTPS_INSECURE-}" ]; then
			printf 'insecure\n'
		fi
		if [ -n "${CA_BUNDLE-}" ]; then
			printf 'cacert = '
			_curl_quote "$CA_BUNDLE"
		fi
	} >"$_rq_conf"
	curl --disable --silent --show-error --globoff --connect-timeout "${5:-30}" --max-time 300 --max-filesize 16777216 \
		--proto =http,https --dump-header "$HTTP_HEADER" --config "$_rq_conf"
	_rq_code=$?
	rm -f "$_rq_conf"
	return "$_rq_code"
}

# _get ADDRESS [only the header] [TIMEOUT]
_get() {
	if [ -n "${2-}" ]; then
		_request HEAD "$1" '' '' "${3-}"
	else
		_request GET "$1" '' '' "${3-}"
	fi
}

# _post BODY ADDRESS [answer in base64] [METHOD] [TYPE]. The answer is in $response, too.
_post() {
	_po_body=
	if [ -n "$1" ]; then
		_po_body=$(_mktemp) || return 1
		printf '%s' "$1" >"$_po_body"
	fi
	if [ -n "${3-}" ]; then
		response=$(_request "${4:-POST}" "$2" "$_po_body" "${5-}" '' | _base64)
	else
		response=$(_request "${4:-POST}" "$2" "$_po_body" "${5-}" '')
	fi
	_po_code=$?
	[ -z "$_po_body" ] || rm -f "$_po_body"
	printf '%s' "$response"
	return "$_po_code"
}

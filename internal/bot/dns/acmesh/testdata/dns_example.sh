#!/usr/bin/env sh
# A script in the manner of acme.sh's, for a service that the test has. It takes
# EXAMPLE_Token from its settings, and calls every kind of function.

dns_example_add() {
	fulldomain=$1
	txtvalue=$2
	EXAMPLE_Token="${EXAMPLE_Token:-$(_readaccountconf_mutable EXAMPLE_Token)}"
	if [ -z "$EXAMPLE_Token" ]; then
		_err "EXAMPLE_Token is not set."
		return 1
	fi
	_saveaccountconf_mutable EXAMPLE_Token "$EXAMPLE_Token"
	_debug "token" "$EXAMPLE_Token"
	_secure_debug2 token "$EXAMPLE_Token"
	_example_check || return 1
	_example_root "$fulldomain" || return 1
	_info "adding to" "$_domain"
	_example_rest POST "zones/$_domain/records" "{\"name\":\"$_sub_domain\",\"value\":\"$txtvalue\"}" || return 1
	if ! _contains "$response" '"ok":true'; then
		_err "the service refuses: $response"
		return 1
	fi
	echo "this is not for the terminal"
}

dns_example_rm() {
	fulldomain=$1
	txtvalue=$2
	EXAMPLE_Token="${EXAMPLE_Token:-$(_readaccountconf_mutable EXAMPLE_Token)}"
	_example_root "$fulldomain" || return 1
	_example_rest GET "zones/$_domain/records" || return 1
	_record=$(echo "$response" | tr '{' '\n' | grep "\"$txtvalue\"" | _egrep_o '"id":[0-9]*' | cut -d : -f 2 | _head_n 1)
	_debug _record "$_record"
	[ -z "$_record" ] && return 0
	_example_rest DELETE "zones/$_domain/records/$_record"
}

_example_root() {
	domain=$1
	i=1
	while true; do
		h=$(printf "%s" "$domain" | cut -d . -f $i-100)
		[ -z "$h" ] && return 1
		_example_rest GET "zones/$h" || return 1
		if _contains "$response" "\"name\":\"$h\""; then
			_domain=$h
			_sub_domain=$(printf "%s" "$domain" | cut -d . -f 1-$(_math "$i" - 1))
			return 0
		fi
		i=$(_math "$i" + 1)
	done
}

_example_rest() {
	export _H1="Authorization: Bearer $EXAMPLE_Token"
	export _H2='X-Quoted: a "b" \c $(id) `id`'
	if [ "$1" = GET ]; then
		response="$(_get "$EXAMPLE_Api/$2")"
	else
		response="$(_post "$3" "$EXAMPLE_Api/$2" "" "$1" "application/json")"
	fi
	_ret=$?
	[ "$_ret" = 0 ] || return "$_ret"
	_code=$(grep "^HTTP" "$HTTP_HEADER" | _tail_n 1 | cut -d " " -f 2 | tr -d "\r\n")
	if _startswith "$_code" 5; then
		_err "status $_code"
		return 1
	fi
}

# same WHAT GOT WANT
same() {
	[ "$2" = "$3" ] && return 0
	_err "$1: got '$2', want '$3'"
}

_example_check() {
	same math "$(_math 2 + 3 \* 4)" 14 &&
		same hex "$(printf 'abc' | _hex_dump)" " 61 62 63" &&
		same h2b "$(printf '4a4B' | _h2b)" "JK" &&
		same h2bback "$(printf '00ff5c25' | _h2b | _hex_dump)" " 00 ff 5c 25" &&
		same base64 "$(printf 'any carnal pleas' | _base64)" "YW55IGNhcm5hbCBwbGVhcw==" &&
		same dbase64 "$(printf 'YW55IGNhcm5hbCBwbGVhcw==' | _dbase64)" "any carnal pleas" &&
		same urlencode "$(printf 'a b/c~%%ü' | _url_encode)" "a%20b%2fc~%25%c3%bc" &&
		same upper "$(printf 'a/b' | _url_encode upper-hex)" "a%2Fb" &&
		same digest "$(printf 'abc' | _digest sha256 hex)" ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad &&
		same digest64 "$(printf 'abc' | _digest sha1)" "qZk+NkcGgWq6PiVxeFDCbJzQ2J0=" &&
		same hmac "$(printf 'what do ya want for nothing?' | _hmac sha256 4a656665 hex)" 5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843 &&
		same hmacraw "$(printf 'what do ya want for nothing?' | _hmac sha1 4a656665 | _base64)" "7/zfauXrL6LSdBbV8YTfnCWafHk=" &&
		same field "$(_getfield 'a,b,,d' 2)" b &&
		same fieldback "$(_getfield 'a;b;;d' 3 ';')" b &&
		same egrep "$(echo 'x=12,y=3' | _egrep_o '[0-9]+' | _tail_n 1)" 3 &&
		same lower "$(printf 'ABC' | _lower_case)$(printf 'abc' | _upper_case)" abcABC &&
		same json "$(printf 'a"b\\c\nd' | _json_encode)" 'a\"b\\c\nd' &&
		same jsonback "$(printf 'a\\"b\\/c' | _json_decode)" 'a"b/c' &&
		same urlreplace "$(printf 'a+b/c==' | _url_replace)" 'a-b_c' || return 1
	_hasfield 'a,b' b && ! _hasfield 'a,b' c && _endswith abc c && ! _startswith abc b && _exists curl && ! _exists no-such-program || return 1
	_saveaccountconf KEY "it's \$(id) \`id\`"
	same conf "$(_readaccountconf KEY)" "it's \$(id) \`id\`" || return 1
	_savedomainconf KEY 'two
lines' base64
	same domainconf "$(_readdomainconf KEY)" 'two
lines' || return 1
	_clearaccountconf KEY
	same cleared "$(_readaccountconf KEY)" "" || return 1
	same theirs "$(_readaccountconf_mutable THEIRS)" "from acme.sh" || return 1
	same theirs64 "$(_readaccountconf SAVED_B64)" "encoded" || return 1
	same empty "$(_post "" "$EXAMPLE_Api/echo" needbase64 PUT)" "$(printf 'PUT ' | _base64)" || return 1
	same at "$(_post "@/etc/passwd" "$EXAMPLE_Api/echo")" "POST @/etc/passwd" || return 1
	_contains "$(_get "$EXAMPLE_Api/echo" onlyheader)" "X-Seen: HEAD"
}

package aws

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Scope is where a signature is valid.
type Scope struct {
	Region, Service string
}

// Sign signs a request with Signature Version 4
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html): the method, the path, the
// query, the body, the host, the type and all that is AWS's own. It is valid for a few minutes around now.
func Sign(request *http.Request, body []byte, credentials Credentials, scope Scope, now time.Time) {
	date := now.UTC().Format("20060102T150405Z")
	request.Header.Set("X-Amz-Date", date)
	if credentials.Token != "" {
		request.Header.Set("X-Amz-Security-Token", credentials.Token)
	}
	names, headers := signedHeaders(request)
	canonical := strings.Join([]string{
		request.Method, canonicalPath(request.URL), canonicalQuery(request.URL), headers, names, digest(body),
	}, "\n")
	where := strings.Join([]string{date[:8], scope.Region, scope.Service, "aws4_request"}, "/")
	text := strings.Join([]string{"AWS4-HMAC-SHA256", date, where, digest([]byte(canonical))}, "\n")

	key := []byte("AWS4" + credentials.Secret)
	for part := range strings.SplitSeq(where, "/") {
		key = mac(key, part)
	}
	request.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+credentials.AccessKey+"/"+where+
		", SignedHeaders="+names+", Signature="+hex.EncodeToString(mac(key, text)))
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// unsigned are headers that a proxy may change, or that are made after the signature.
var unsigned = []string{"accept", "accept-encoding", "authorization", "content-length", "user-agent", "connection"}

// signedHeaders lists the names, and the lines of names and values.
func signedHeaders(request *http.Request) (names, lines string) {
	values := map[string]string{"host": cmp.Or(request.Host, request.URL.Host)}
	list := []string{"host"}
	for name, value := range request.Header {
		name = strings.ToLower(name)
		if slices.Contains(unsigned, name) {
			continue
		}
		trimmed := make([]string, len(value))
		for i := range value {
			trimmed[i] = strings.Join(strings.Fields(value[i]), " ")
		}
		values[name] = strings.Join(trimmed, ",")
		list = append(list, name)
	}
	slices.Sort(list)
	var b strings.Builder
	for _, name := range list {
		b.WriteString(name + ":" + values[name] + "\n")
	}
	return strings.Join(list, ";"), b.String()
}

// canonicalPath escapes each segment of what is sent, which has been escaped once.
func canonicalPath(address *url.URL) string {
	path := address.EscapedPath()
	if path == "" {
		return "/"
	}
	segments := strings.Split(path, "/")
	for i := range segments {
		segments[i] = escape(segments[i])
	}
	return strings.Join(segments, "/")
}

// canonicalQuery sorts by name, then by value, both as they are written.
func canonicalQuery(address *url.URL) string {
	var pairs [][2]string
	for name, values := range address.Query() {
		for _, value := range values {
			pairs = append(pairs, [2]string{escape(name), escape(value)})
		}
	}
	slices.SortFunc(pairs, func(a, b [2]string) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) })
	written := make([]string, len(pairs))
	for i, pair := range pairs {
		written[i] = pair[0] + "=" + pair[1]
	}
	return strings.Join(written, "&")
}

// escape leaves letters, digits and -._~ alone (RFC 3986 §2.3), and nothing else.
func escape(text string) string {
	const hexDigits = "0123456789ABCDEF"
	var b strings.Builder
	for _, c := range []byte(text) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-._~", c) >= 0:
			b.WriteByte(c)
		default:
			b.Write([]byte{'%', hexDigits[c>>4], hexDigits[c&15]})
		}
	}
	return b.String()
}

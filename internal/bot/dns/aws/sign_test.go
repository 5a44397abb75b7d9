package aws_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/dns/aws"
)

// TestPublishedVectors signs requests of AWS's own test suite for Signature Version 4 (aws-sig-v4-test-suite).
func TestPublishedVectors(t *testing.T) {
	const token = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/" +
		"qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+" +
		"scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="
	const unreserved = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	for _, c := range []struct {
		name, method, path, body, header, value, token, signed, want string
	}{
		{name: "get-vanilla", method: "GET", path: "/", signed: "host;x-amz-date", want: "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		{name: "get-vanilla-query-order-key-case", method: "GET", path: "/?Param2=value2&Param1=value1", signed: "host;x-amz-date", want: "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
		{name: "get-vanilla-query-unreserved", method: "GET", path: "/?" + unreserved + "=" + unreserved, signed: "host;x-amz-date", want: "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"},
		{name: "get-unreserved", method: "GET", path: "/" + unreserved, signed: "host;x-amz-date", want: "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
		{name: "post-vanilla", method: "POST", path: "/", signed: "host;x-amz-date", want: "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
		{name: "post-header-value-case", method: "POST", path: "/", header: "My-Header1", value: "VALUE1", signed: "host;my-header1;x-amz-date", want: "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"},
		{name: "post-x-www-form-urlencoded", method: "POST", path: "/", body: "Param1=value1", header: "Content-Type", value: "application/x-www-form-urlencoded", signed: "content-type;host;x-amz-date", want: "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
		{name: "post-sts-header-before", method: "POST", path: "/", token: token, signed: "host;x-amz-date;x-amz-security-token", want: "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"},
	} {
		request, err := http.NewRequest(c.method, "https://example.amazonaws.com"+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("User-Agent", "a proxy may change this")
		if c.header != "" {
			request.Header.Set(c.header, c.value)
		}
		aws.Sign(request, []byte(c.body), aws.Credentials{AccessKey: "AKIDEXAMPLE", Secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", Token: c.token},
			aws.Scope{Region: "us-east-1", Service: "service"}, time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC))
		want := "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=" + c.signed + ", Signature=" + c.want
		if got := request.Header.Get("Authorization"); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, want)
		}
	}
}

package rules_test

import (
	"crypto/rand"
	"crypto/x509"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
)

// theOrder is a new order of an account for a name, and what led to it.
func theOrder(b *testing.B) (wanted rules.OrderRequest, held rules.Held, placed rules.Placed) {
	b.Helper()
	held.Account = account(b)
	wanted, problem := rules.ReadNewOrder(policy(b), acme.NewOrder{Identifiers: []acme.Identifier{acme.IdentifierFor("www.test")}})
	if problem != nil {
		b.Fatal(problem)
	}
	if placed, problem = rules.NewOrder(wanted, held, start); problem != nil {
		b.Fatal(problem)
	}
	return wanted, held, placed
}

// theCSR is a CSR for the name of theOrder, in DER.
func theCSR(b *testing.B) []byte {
	b.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{"www.test"}}, newKey(b))
	if err != nil {
		b.Fatal(err)
	}
	return der
}

func BenchmarkReadNewOrder(b *testing.B) {
	policy := policy(b)
	request := acme.NewOrder{Identifiers: []acme.Identifier{acme.IdentifierFor("www.test")}}
	b.ReportAllocs()
	for b.Loop() {
		if _, problem := rules.ReadNewOrder(policy, request); problem != nil {
			b.Fatal(problem)
		}
	}
}

func BenchmarkNewOrder(b *testing.B) {
	wanted, held, _ := theOrder(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, problem := rules.NewOrder(wanted, held, start); problem != nil {
			b.Fatal(problem)
		}
	}
}

// BenchmarkSettle is a response to a challenge, and the outcome.
func BenchmarkSettle(b *testing.B) {
	_, held, placed := theOrder(b)
	pending := placed.New[0]
	answer := rules.Answer{Type: acme.HTTP01, Key: held.Account.Key}
	lease := rules.Lease{}.Taken("worker", start, time.Minute)
	b.ReportAllocs()
	for b.Loop() {
		a, problem := pending.Attempt(answer, lease, start)
		if problem != nil || a.Settle(rules.Outcome{}, start).Status != acme.StatusValid {
			b.Fatal(problem)
		}
	}
}

func BenchmarkFinalize(b *testing.B) {
	_, held, placed := theOrder(b)
	a, problem := placed.New[0].Attempt(rules.Answer{Type: acme.HTTP01, Key: held.Account.Key}, rules.Lease{}, start)
	if problem != nil {
		b.Fatal(problem)
	}
	authzs := []rules.Authz{a.Settle(rules.Outcome{}, start)}
	csr, problem := rules.ParseCSR(theCSR(b))
	if problem != nil {
		b.Fatal(problem)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, problem := placed.Order.Finalize(authzs, csr, rules.Lease{}, start); problem != nil {
			b.Fatal(problem)
		}
	}
}

// BenchmarkParseCSR checks the CSR's signature, too.
func BenchmarkParseCSR(b *testing.B) {
	der := theCSR(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, problem := rules.ParseCSR(der); problem != nil {
			b.Fatal(problem)
		}
	}
}

func BenchmarkThumbprint(b *testing.B) {
	key := account(b).Key
	b.ReportAllocs()
	for b.Loop() {
		if key.Thumbprint() == "" {
			b.Fatal("none")
		}
	}
}

// BenchmarkSpend is the decision about three rate limits.
func BenchmarkSpend(b *testing.B) {
	var charges []rules.Charge
	for _, name := range []rules.LimitName{rules.OrdersPerAccount, rules.CertificatesPerDomain, rules.FailedAuthorizations} {
		charges = append(charges, rules.Charge{Bucket: rules.Bucket{Limit: name, Subject: "x"}, Rule: rules.Limit{Count: 300, Period: 3 * time.Hour}})
	}
	b.ReportAllocs()
	for b.Loop() {
		if len(rules.Spend(charges, start).Quotas) == 0 {
			b.Fatal("nothing was taken")
		}
	}
}

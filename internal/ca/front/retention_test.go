package front_test

import (
	"errors"
	"net/http"
	"path"
	"testing"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// forgetOrder does to an order what retention does long after its end.
func (a *authority) forgetOrder(url string) {
	a.t.Helper()
	a.update(func(tx *store.Tx) error {
		o, err := tx.Order(path.Base(url))
		if err == nil {
			err = tx.DeleteOrder(o)
		}
		return err
	})
}

// forgetAuthz does the same to an authorization.
func (a *authority) forgetAuthz(url string) {
	a.t.Helper()
	a.update(func(tx *store.Tx) error {
		authz, err := tx.Authz(path.Base(url))
		if err == nil {
			err = tx.DeleteAuthz(authz)
		}
		return err
	})
}

// What is not kept any more is not found. The certificate is there for as long as its own record.
func TestOrderThatIsGone(t *testing.T) {
	a := newAuthority(t, nil)
	c := a.register()
	url, o := c.ready("a.test")
	authz := o.Authorizations[0]
	challenge := read[acme.Authorization](c.fetch(authz)).Challenges[0].URL
	o = read[acme.Order](c.post(o.Finalize, csr(t, newKey(t), "a.test")).want(http.StatusOK))
	der := decodePEM(t, c.fetch(o.Certificate).want(http.StatusOK).body)[0]
	pending, _ := c.order("b.test")
	a.forgetOrder(url)
	a.forgetOrder(pending)
	a.forgetAuthz(authz)

	for _, gone := range []string{url, pending, authz, challenge} {
		c.fetch(gone).wantProblem(http.StatusNotFound, acme.TypeMalformed)
	}
	c.post(o.Finalize, csr(t, newKey(t), "a.test")).wantProblem(http.StatusNotFound, acme.TypeMalformed)
	c.post(challenge, `{}`).wantProblem(http.StatusNotFound, acme.TypeMalformed)
	c.post(authz, `{"status":"deactivated"}`).wantProblem(http.StatusNotFound, acme.TypeMalformed)
	kept, _ := c.order("c.test")
	list := read[acme.OrderList](c.fetch(read[acme.Account](c.post(c.kid, "")).Orders).want(http.StatusOK))
	if len(list.Orders) != 1 || list.Orders[0] != kept {
		t.Errorf("the orders are %v", list.Orders)
	}

	certificate := c.fetch(o.Certificate).want(http.StatusOK)
	if got := decodePEM(t, certificate.body)[0]; string(got) != string(der) {
		t.Error("it is another certificate")
	}
	a.register().fetch(o.Certificate).wantProblem(http.StatusForbidden, acme.TypeUnauthorized)
	id := certID(t, der)
	c.get("/renewal-info/" + id.String()).want(http.StatusOK)
	next := c.post("/new-order", replacing(t, id.String(), "a.test")).want(http.StatusCreated)
	a.forgetOrder(next.location()) // it led to nothing
	if o := read[acme.Order](c.post("/new-order", replacing(t, id.String(), "a.test")).want(http.StatusCreated)); o.Replaces != id.String() {
		t.Errorf("the order is %+v", o)
	}
	c.post("/revoke-cert", `{"certificate":"`+b64(string(der))+`"}`).want(http.StatusOK)
}

// A certificate is replaced once, also when the order that did it is not kept any more (RFC 9773 §5).
func TestReplacedByOrderThatIsGone(t *testing.T) {
	a := newAuthority(t, nil)
	c := a.register()
	der, _ := c.issue(newKey(t), "a.test")
	id := certID(t, der).String()
	r := c.post("/new-order", replacing(t, id, "a.test")).want(http.StatusCreated)
	c.post(read[acme.Order](r).Finalize, csr(t, newKey(t), "a.test")).want(http.StatusOK)
	a.forgetOrder(r.location())
	c.post("/new-order", replacing(t, id, "a.test")).wantProblem(http.StatusConflict, acme.TypeAlreadyReplaced)
}

// An order can be kept for longer than what it rests on, and than its certificate.
func TestOrderThatIsLeft(t *testing.T) {
	a := newAuthority(t, nil)
	c := a.register()
	_, url := c.issue(newKey(t), "a.test")
	pendingURL, pending := c.order("b.test")
	valid := read[acme.Order](c.fetch(url))
	a.forgetAuthz(valid.Authorizations[0])
	a.forgetAuthz(pending.Authorizations[0])
	if o := read[acme.Order](c.fetch(url).want(http.StatusOK)); o.Status != acme.StatusValid || o.Certificate != valid.Certificate {
		t.Errorf("the valid order is %+v", o)
	}
	if o := read[acme.Order](c.fetch(pendingURL).want(http.StatusOK)); o.Status != acme.StatusInvalid || o.Error == nil {
		t.Errorf("the pending order is %+v", o)
	}
	c.post(pending.Finalize, csr(t, newKey(t), "b.test")).wantProblem(http.StatusForbidden, acme.TypeOrderNotReady)
	list := read[acme.OrderList](c.fetch(read[acme.Account](c.post(c.kid, "")).Orders).want(http.StatusOK))
	if len(list.Orders) != 1 || list.Orders[0] != url {
		t.Errorf("the orders are %v", list.Orders)
	}

	c.fetch(valid.Certificate).want(http.StatusOK)
	a.update(func(tx *store.Tx) error {
		found, err := tx.CertificateOf(path.Base(url))
		return errors.Join(err, tx.DeleteCertificate(found, found.Names()))
	})
	c.fetch(valid.Certificate).wantProblem(http.StatusNotFound, acme.TypeMalformed)
	a.view(func(tx *store.Tx) error {
		o, err := tx.Order(path.Base(url))
		if rules.OrderStatus(o, nil, tx.Now) != acme.StatusValid {
			t.Error("the order is not valid any more")
		}
		return err
	})
}

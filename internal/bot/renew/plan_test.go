package renew_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/renew"
)

func ids(text string) (list []acme.Identifier) {
	for _, name := range strings.Fields(text) {
		list = append(list, acme.IdentifierFor(name))
	}
	return list
}

func TestDecide(t *testing.T) {
	have := []renew.Have{
		{Lineage: "one", Identifiers: ids("a.test b.test")},
		{Lineage: "due", Identifiers: ids("c.test"), Due: true},
		{Lineage: "small", Identifiers: ids("d.test")},
		{Lineage: "large", Identifiers: ids("e.test f.test")},
		{Lineage: "medium", Identifiers: ids("e.test d.test")},
		{Lineage: "ip", Identifiers: ids("192.0.2.7")},
	}
	for name, c := range map[string]struct {
		ask    renew.Ask
		action renew.Action
		target string
		names  string
		doubt  renew.Doubt
	}{
		"new":                    {renew.Ask{Identifiers: ids("x.test y.test")}, renew.Create, "x.test", "x.test y.test", renew.Settled},
		"new wildcard":           {renew.Ask{Identifiers: ids("*.x.test")}, renew.Create, "x.test", "*.x.test", renew.Settled},
		"new by name":            {renew.Ask{Lineage: "two", Identifiers: ids("a.test b.test")}, renew.Create, "two", "a.test b.test", renew.Settled},
		"same":                   {renew.Ask{Identifiers: ids("b.test a.test")}, renew.Keep, "one", "a.test b.test", renew.KeepOrRenew},
		"same, forced":           {renew.Ask{Identifiers: ids("b.test a.test"), Force: true}, renew.Renew, "one", "a.test b.test", renew.Settled},
		"same, due":              {renew.Ask{Identifiers: ids("c.test")}, renew.Renew, "due", "c.test", renew.Settled},
		"fewer":                  {renew.Ask{Identifiers: ids("a.test")}, renew.Create, "a.test", "a.test", renew.Settled},
		"more, expand":           {renew.Ask{Identifiers: ids("z.test a.test b.test"), Expand: true}, renew.Replace, "one", "z.test a.test b.test", renew.Settled},
		"the largest part":       {renew.Ask{Identifiers: ids("d.test e.test f.test"), Expand: true}, renew.Replace, "large", "d.test e.test f.test", renew.Settled},
		"more, forced":           {renew.Ask{Identifiers: ids("a.test b.test z.test"), Force: true}, renew.Replace, "one", "a.test b.test z.test", renew.Settled},
		"overlap":                {renew.Ask{Identifiers: ids("a.test z.test")}, renew.Create, "a.test", "a.test z.test", renew.Settled},
		"by name alone":          {renew.Ask{Lineage: "one"}, renew.Keep, "one", "a.test b.test", renew.KeepOrRenew},
		"by name alone, due":     {renew.Ask{Lineage: "due"}, renew.Renew, "due", "c.test", renew.Settled},
		"by name, same":          {renew.Ask{Lineage: "one", Identifiers: ids("b.test a.test")}, renew.Keep, "one", "a.test b.test", renew.KeepOrRenew},
		"by name, others":        {renew.Ask{Lineage: "one", Identifiers: ids("a.test")}, renew.Replace, "one", "a.test", renew.OtherNames},
		"same, keep":             {renew.Ask{Identifiers: ids("b.test a.test"), Keep: true}, renew.Keep, "one", "a.test b.test", renew.Settled},
		"same, due, keep":        {renew.Ask{Identifiers: ids("c.test"), Keep: true}, renew.Renew, "due", "c.test", renew.Settled},
		"same, duplicate":        {renew.Ask{Identifiers: ids("a.test b.test"), Duplicate: true}, renew.Create, "a.test", "a.test b.test", renew.Settled},
		"more":                   {renew.Ask{Identifiers: ids("a.test b.test z.test")}, renew.Replace, "one", "a.test b.test z.test", renew.Expand},
		"more, duplicate":        {renew.Ask{Identifiers: ids("a.test b.test z.test"), Duplicate: true}, renew.Create, "a.test", "a.test b.test z.test", renew.Settled},
		"by name, others, meant": {renew.Ask{Lineage: "one", Identifiers: ids("a.test"), NewNames: true}, renew.Replace, "one", "a.test", renew.Settled},
		"by name, forced":        {renew.Ask{Lineage: "one", Identifiers: ids("a.test"), Force: true}, renew.Replace, "one", "a.test", renew.OtherNames},
		"an address is no name":  {renew.Ask{Identifiers: []acme.Identifier{{Type: acme.DNS, Value: "192.0.2.7"}}}, renew.Create, "192.0.2.7", "", renew.Settled},
		"an address, once again": {renew.Ask{Identifiers: ids("192.0.2.7")}, renew.Keep, "ip", "192.0.2.7", renew.KeepOrRenew},
	} {
		t.Run(name, func(t *testing.T) {
			plan, err := renew.Decide(c.ask, have)
			if err != nil {
				t.Fatal(err)
			}
			if plan.Action != c.action || plan.Doubt != c.doubt || plan.Lineage != c.target || c.names != "" && !reflect.DeepEqual(plan.Identifiers, ids(c.names)) {
				t.Errorf("got %+v", plan)
			}
		})
	}
	plan, err := renew.Decide(renew.Ask{Lineage: "one", Identifiers: ids("z.test b.test y.test")}, have)
	if err != nil || !reflect.DeepEqual(plan.Added, ids("z.test y.test")) || !reflect.DeepEqual(plan.Removed, ids("a.test")) {
		t.Errorf("what changes: %+v, %v", plan, err)
	}
	if _, err := renew.Decide(renew.Ask{Lineage: "nosuch"}, have); err == nil {
		t.Error("a name alone, of nothing, was accepted")
	}
}

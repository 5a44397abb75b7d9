package renew

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/lineage"
)

// Delivery is a certificate that is live, while not everybody who uses it has it: a deploy-hook has failed, or a server
// shows another one. It is tried again without a new certificate.
type Delivery struct {
	Lineage     string    `json:"lineage"`
	Certificate string    `json:"certificate"`      // its fingerprint
	Done        []string  `json:"done,omitempty"`   // hooks that have succeeded, and are not run again
	Failed      []string  `json:"failed,omitempty"` // hooks that have not, for people
	Unseen      []string  `json:"unseen,omitempty"` // what servers show instead, for people
	Attempts    int       `json:"attempts"`
	First       time.Time `json:"first"`
	Last        time.Time `json:"last"`
	Next        time.Time `json:"next"` // when to try again; zero for not any more
}

// maxDeliveries is how often something is tried that nobody has asked to hear of. A script that ends with an error by an
// oversight of its author's, as certbot lets it, must not restart a server twice a day for ever.
const maxDeliveries = 4

// NewDelivery is one of a certificate, before anything was done.
func NewDelivery(name string, leaf *x509.Certificate) *Delivery {
	return &Delivery{Lineage: name, Certificate: fingerprint(leaf)}
}

// Of reports whether d is about this certificate. A newer one has been deployed by itself.
func (d *Delivery) Of(leaf *x509.Certificate) bool { return d.Certificate == fingerprint(leaf) }

// Tried takes up what became of one more attempt. While something is missing it is due again after
// a while that grows; not for ever, unless endless is set.
func (d *Delivery) Tried(done, failed, unseen []string, endless bool, now time.Time) {
	now = now.UTC().Truncate(time.Second)
	if d.Attempts++; d.First.IsZero() {
		d.First = now
	}
	for _, command := range done {
		if !slices.Contains(d.Done, command) {
			d.Done = append(d.Done, command)
		}
	}
	d.Failed, d.Unseen, d.Last, d.Next = failed, unseen, now, time.Time{}
	if endless || d.Attempts < maxDeliveries {
		d.Next = now.Add(spread(steps[min(max(d.Attempts, 1), len(steps))-1])).Truncate(time.Second)
	}
}

// Complete reports whether nothing is missing.
func (d *Delivery) Complete() bool { return len(d.Failed) == 0 && len(d.Unseen) == 0 }

// Due reports whether it is time to try again.
func (d *Delivery) Due(now time.Time) bool { return !d.Next.IsZero() && !d.Next.After(now) }

// Deliveries keeps what is not complete, a file for each lineage.
type Deliveries struct{ directory string }

// OpenDeliveries uses the given directory, and makes it (0700) when there is something to keep.
func OpenDeliveries(directory string) *Deliveries { return &Deliveries{directory: directory} }

const deliverySuffix = ".json"

// All gives what is kept. A file that cannot be understood is of no use to anyone, and counts as none.
func (d *Deliveries) All() ([]*Delivery, error) {
	entries, err := os.ReadDir(d.directory)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing unfinished deliveries: %w", err)
	}
	var list []*Delivery
	for _, entry := range entries {
		name, found := strings.CutSuffix(entry.Name(), deliverySuffix)
		if !found || lineage.CheckName(name) != nil {
			continue
		}
		delivery := new(Delivery)
		(&Memory{directory: d.directory}).read(entry.Name(), maxState, delivery)
		if delivery.Lineage == name {
			list = append(list, delivery)
		}
	}
	return list, nil
}

// Load gives what is kept for a lineage, or nil.
func (d *Deliveries) Load(name string) *Delivery {
	if lineage.CheckName(name) != nil {
		return nil
	}
	one := new(Delivery)
	if (&Memory{directory: d.directory}).read(name+deliverySuffix, maxState, one); one.Lineage != name {
		return nil
	}
	return one
}

// Rename keeps under another name what is kept for a lineage.
func (d *Deliveries) Rename(from, to string) error {
	delivery := d.Load(from)
	if delivery == nil {
		return nil
	}
	delivery.Lineage = to
	if err := d.Keep(delivery); err != nil {
		return err
	}
	return d.Keep(&Delivery{Lineage: from}) // nothing is missing
}

// Keep makes d durable, or forgets it once it is complete.
func (d *Deliveries) Keep(delivery *Delivery) error {
	if err := lineage.CheckName(delivery.Lineage); err != nil {
		return err
	}
	path := filepath.Join(d.directory, delivery.Lineage+deliverySuffix)
	if delivery.Complete() {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("forgetting a delivery: %w", err)
		}
		return nil
	}
	text, err := json.MarshalIndent(delivery, "", "  ")
	if err == nil {
		err = os.MkdirAll(d.directory, 0o700)
	}
	if err == nil {
		err = state.Replace(path, bytes.NewReader(text))
	}
	if err != nil {
		return fmt.Errorf("noting an unfinished delivery: %w", err)
	}
	return nil
}

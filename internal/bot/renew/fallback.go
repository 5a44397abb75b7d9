package renew

import (
	"fmt"
	"time"
)

// Candidates are the CAs that a certificate can be from.
type Candidates struct {
	First     string   // the one that is wanted
	Fallbacks []string // --fallback-server, in their order
	Current   string   // the one that the certificate is from
	// Cooling is until when a CA is left alone, because it was in trouble for whichever certificate.
	Cooling map[string]time.Time
}

// enough is how many failures in a row make a CA one that does not work.
const enough = 3

// Order says which CAs are asked for a renewal, one after the other, each only when those before it have failed.
//
// The first CA is always asked first, unless it is left alone. Another is asked as well
//
//	once the certificate is from that one          the first has to show that it works again; until it does,
//	                                               nobody waits for it again
//	after three failures in a row                  when less than a sixth of the lifetime is left, or the next
//	                                               attempt would be when less than a twelfth is
//	after one failure                              when less than a twelfth of the lifetime is left
//
// failure is that of the first CA, which may be nil. What is wrong here no other CA mends.
func (c Candidates) Order(failure *Trouble, life Life, now time.Time) (servers []string, why string) {
	if !c.Cooling[c.First].After(now) {
		servers = append(servers, c.First)
	}
	why = c.reason(failure, life, now)
	if why == "" {
		return servers, ""
	}
	others := c.Fallbacks
	if c.Current != c.First && c.Current != "" { // it has just been good enough
		others = append([]string{c.Current}, others...)
	}
	taken := map[string]bool{c.First: true}
	for _, server := range others {
		if !taken[server] && !c.Cooling[server].After(now) {
			servers = append(servers, server)
		}
		taken[server] = true
	}
	return servers, why
}

// reason says why the fallbacks count, or "".
func (c Candidates) reason(failure *Trouble, life Life, now time.Time) string {
	if len(c.Fallbacks) == 0 && c.Current == c.First {
		return ""
	}
	if c.Current != c.First && c.Current != "" {
		return "the certificate is from there already"
	}
	if failure == nil || failure.Class == ClassConfiguration {
		return ""
	}
	next := failure.Next
	if failure.NotBefore.After(next) {
		next = failure.NotBefore
	}
	brink := life.NotAfter.Add(-life.Length() / 12)
	switch {
	case failure.Count >= enough && (life.Hurry(now) || next.After(brink)):
		return fmt.Sprintf("%s has failed %d times in a row, and the certificate expires on %s", c.First, failure.Count, life.NotAfter.Format(time.DateOnly))
	case failure.Count >= 1 && now.After(brink):
		return fmt.Sprintf("%s has failed, and the certificate expires on %s", c.First, life.NotAfter.Format(time.DateOnly))
	default:
		return ""
	}
}

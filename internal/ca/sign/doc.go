// Package sign is where the CA's private keys are used, and the only place: it
// turns a profile and a request into a certificate, and a list of revocations
// into a CRL.
//
// What it signs is built, signed with a throwaway key, linted, and only then
// signed with the real key; a certificate is written to a Journal before it is
// signed and again before its bytes leave. It knows the words of package acme
// and no rules: who may have a certificate has been decided before.
//
// The signer is trusted: an attacker who controls it has the CA's keys. Its
// caller is not: it can at most have certificates made that the profiles and
// the issuer's name constraints allow, all of them journalled.
package sign

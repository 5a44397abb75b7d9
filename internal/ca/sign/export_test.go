package sign

import (
	"crypto/x509"
)

// TBSCertificate is what is signed for r, and the template and the issuer that x509.CreateCertificate makes the same of.
func TBSCertificate(p Profile, r Request, issuer Issuer, serial []byte, template func(*x509.Certificate)) (tbs []byte, made *x509.Certificate, err error) {
	if made, err = p.template(r, issuer, serial); err != nil {
		return nil, nil, err
	}
	template(made)
	algorithm, err := algorithmOf(issuer.Key.Public())
	if err != nil {
		return nil, nil, err
	}
	made.SignatureAlgorithm = algorithm
	name, err := identifierOf(algorithm)
	if err != nil {
		return nil, nil, err
	}
	tbs, err = tbsCertificate(made, issuer.Certificate, r.PublicKey, name)
	return tbs, made, err
}

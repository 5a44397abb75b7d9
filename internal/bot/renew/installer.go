package renew

import "context"

// Enhancement is something that a web server does beside using a certificate.
type Enhancement string

// The enhancements, by certbot's names.
const (
	Redirect Enhancement = "redirect"    // from http:// to https://
	HSTS     Enhancement = "hsts"        // Strict-Transport-Security, for a year
	UIR      Enhancement = "uir"         // Content-Security-Policy: upgrade-insecure-requests
	Staple   Enhancement = "staple-ocsp" // OCSP answers in the handshake
	AutoHSTS Enhancement = "auto-hsts"   // HSTS for a short time at first
)

// Deployment is a certificate that a server is to use: files, which stay where they are, and the names that it is for.
type Deployment struct {
	Names                       []string
	Cert, Key, Chain, Fullchain string // paths; Chain and Fullchain may be ""
}

// Installer configures a server. Whatever it changes it keeps in a checkpoint first, so that a crash or "rollback" leads back. Calls
// are not concurrent for one Installer.
type Installer interface {
	// Names lists what the server answers for, and could have certificates for.
	Names(ctx context.Context) ([]string, error)
	// Deploy has the server use a certificate from its next Reload on. When it fails, the server's settings are as they were.
	Deploy(ctx context.Context, d Deployment) error
	// Enhance adds enhancements for names that have a certificate. The same holds for its failures.
	Enhance(ctx context.Context, names []string, what []Enhancement) error
	// Reload makes changes effective. If the server does not come back with them, they are taken back before it returns an error.
	Reload(ctx context.Context) error
}

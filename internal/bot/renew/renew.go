// Package renew decides and drives: what to obtain, when to renew and why, and
// in which order the steps go so that a crash between any two of them costs
// nothing. Decisions are functions of values and the time (Due, Decide); an
// Obtainer talks to the CA for them, with a Job on disk that outlives the process.
package renew

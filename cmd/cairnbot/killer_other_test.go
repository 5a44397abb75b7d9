//go:build !linux

package main

// killer needs Linux, as what uses it does.
func killer() { panic("killer: this system has no ptrace as Linux has it") }

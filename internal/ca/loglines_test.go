package ca_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// aboutNoOrder are the lines of front and work that are about no order, authorization or request of an account.
var aboutNoOrder = []string{
	"cleaning up failed", "looking for work failed", "noting the keys of older certificates failed", "revoking the certificates of compromised keys failed",
	"names unpaused by their owner", "taking an agreement to the terms of service failed", "terms of service agreed to", // these name the account
	"another front did not redeem its nonce", "no worker can be asked to begin at once", "a worker does not answer", // these are about other processes
	"writing a page failed", "a page failed", "writing the page for the terms of service failed", // for people, without an account
}

// TestEveryLineNamesItsSubject: each line that front and work log names the account, and the order or authorization; or it
// has all that is known of the request, by Front.subject; or it is in the list above.
func TestEveryLineNamesItsSubject(t *testing.T) {
	var files []string
	for _, pattern := range []string{"front/*.go", "work/*.go"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %q, %v", pattern, found, err)
		}
		files = append(files, found...)
	}
	seen := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		set := token.NewFileSet()
		tree, err := parser.ParseFile(set, file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(node ast.Node) bool {
			call, ok := node.(*ast.CallExpr)
			if !ok || !logs(call) {
				return true
			}
			seen++
			words := wordsIn(call)
			named := slices.Contains(words, "account") && (slices.Contains(words, "order") || slices.Contains(words, "authorization") || slices.Contains(words, "what"))
			if !named && !slices.Contains(words, "subject") && !slices.ContainsFunc(words, func(word string) bool { return slices.Contains(aboutNoOrder, word) }) {
				t.Errorf("%s: the line does not name the account and the order or authorization: %q", set.Position(call.Pos()), words)
			}
			return true
		})
	}
	if seen < 15 {
		t.Errorf("found %d lines only", seen)
	}
}

// logs reports whether a call writes to the log.
func logs(call *ast.CallExpr) bool {
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || !slices.Contains([]string{"Debug", "Info", "Warn", "Error", "LogAttrs"}, method.Sel.Name) {
		return false
	}
	log, ok := method.X.(*ast.SelectorExpr)
	return ok && log.Sel.Name == "Log"
}

// wordsIn lists the literals and names in the arguments of a call.
func wordsIn(call *ast.CallExpr) (words []string) {
	for _, argument := range call.Args {
		ast.Inspect(argument, func(node ast.Node) bool {
			switch node := node.(type) {
			case *ast.BasicLit:
				if text, err := strconv.Unquote(node.Value); err == nil {
					words = append(words, text)
				}
			case *ast.Ident:
				words = append(words, node.Name)
			}
			return true
		})
	}
	return words
}

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/adopt"
)

// schemas is where the published schemas are.
const schemas = "../../docs/schema"

// resultTypes are the types that a verb sets app.result to; none means that it has no result. Each verb has a row.
func resultTypes() map[string][]any {
	return map[string][]any{
		"run": {certonlyJSON{}, installed{}}, "certonly": {certonlyJSON{}, csrJSON{}}, "renew": {renewJSON{}},
		"certificates": {certificatesJSON{}}, "delete": {deleted{}}, "revoke": {revokeJSON{}},
		"register": {accountJSON{}}, "update_account": {shownAccount{}}, "show_account": {shownAccount{}}, "unregister": {shownAccount{}},
		"rollover": {shownAccount{}}, "enhance": {installed{}}, "install": {installed{}}, "rollback": {rolledBack{}}, "plugins": {pluginList{}},
		"doctor": {doctorJSON{}}, "import": {adopt.Report{}}, "notify": {}, "daemon": {}, "schedule": {scheduleJSON{}}, "rename": {renamed{}},
		"edit": {certonlyJSON{}}, "reconfigure": {reconfigured{}}, "export": {exported{}},
		"explain": {explanationJSON{}}, "status": {statusJSON{}},
	}
}

// TestSchemas compares docs/schema with what the types say. UPDATE_SCHEMAS=1 writes it anew.
func TestSchemas(t *testing.T) {
	results := resultTypes()
	for _, v := range verbs() {
		types, ok := results[v.name]
		if v.run == nil {
			continue
		}
		if !ok {
			t.Errorf("%s: give it a row in resultTypes, and run UPDATE_SCHEMAS=1 go test ./cmd/cairnbot -run TestSchemas", v.name)
			continue
		}
		want, err := json.MarshalIndent(schemaOf(v, types), "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, '\n')
		path := filepath.Join(schemas, v.name+".json")
		if os.Getenv("UPDATE_SCHEMAS") != "" {
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what the types say (%v): run UPDATE_SCHEMAS=1 go test ./cmd/cairnbot -run TestSchemas", path, err)
		}
	}
}

// schemaWriter makes JSON Schemas (2020-12) of types.
type schemaWriter struct {
	definitions map[string]any
	comments    map[string]map[string]string // of a type, by package and name: "" is its own, others are its fields'
}

// schemaOf is the schema of the document that a verb ends with.
func schemaOf(v verb, types []any) map[string]any {
	w := &schemaWriter{definitions: make(map[string]any), comments: make(map[string]map[string]string)}
	root := w.object(reflect.TypeFor[document]())
	properties := root["properties"].(map[string]any)
	properties["format"] = map[string]any{"const": 1, "description": "of this document: members are added, and never taken away, within one"}
	properties["verb"] = map[string]any{"const": v.name}
	var results []any
	for _, one := range types {
		results = append(results, w.of(reflect.TypeOf(one)))
	}
	switch len(results) {
	case 0:
		delete(properties, "result")
	case 1:
		properties["result"] = results[0]
	default:
		properties["result"] = map[string]any{"anyOf": results}
	}
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "cairnbot " + v.name + " --json"
	root["$defs"] = w.definitions
	return root
}

// of is the schema of a type. Structs are definitions, since problems hold problems.
func (w *schemaWriter) of(t reflect.Type) map[string]any {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return map[string]any{"type": "string", "format": "date-time"}
	case t == reflect.TypeFor[acme.ProblemType]():
		return map[string]any{"type": "string", "format": "uri"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return w.of(t.Elem())
	case reflect.Struct:
		name := t.Name()
		if _, ok := w.definitions[name]; !ok {
			w.definitions[name] = nil // a type may hold itself
			w.definitions[name] = w.object(t)
		}
		return map[string]any{"$ref": "#/$defs/" + name}
	case reflect.Slice, reflect.Array:
		return map[string]any{"type": "array", "items": w.of(t.Elem())}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": w.of(t.Elem())}
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int, reflect.Int64, reflect.Uint8, reflect.Uint, reflect.Int32:
		return map[string]any{"type": "integer"}
	case reflect.Float64:
		return map[string]any{"type": "number"}
	default:
		return map[string]any{}
	}
}

// object is the schema of a struct's members.
func (w *schemaWriter) object(t reflect.Type) map[string]any {
	properties, required := make(map[string]any), []string{}
	comments := w.commentsOf(t)
	w.members(t, comments, properties, &required)
	s := map[string]any{"type": "object", "properties": properties, "required": required}
	if comments[""] != "" {
		s["description"] = comments[""]
	}
	return s
}

func (w *schemaWriter) members(t reflect.Type, comments map[string]string, properties map[string]any, required *[]string) {
	for field := range t.Fields() {
		name, rest, _ := strings.Cut(field.Tag.Get("json"), ",")
		if field.Anonymous && name == "" {
			w.members(field.Type, w.commentsOf(field.Type), properties, required)
			continue
		}
		if !field.IsExported() || name == "-" {
			continue
		}
		if name == "" {
			name = field.Name
		}
		property := w.of(field.Type)
		if omitted := strings.Contains(rest, "omit"); !omitted {
			*required = append(*required, name)
			if field.Type.Kind() == reflect.Pointer {
				property = map[string]any{"anyOf": []any{property, map[string]any{"type": "null"}}}
			}
		}
		if comments[field.Name] != "" {
			property["description"] = comments[field.Name]
		}
		properties[name] = property
	}
}

// commentsOf reads what the source says of a type of ours and its fields.
func (w *schemaWriter) commentsOf(t reflect.Type) map[string]string {
	const module = "github.com/cairn-ca/cairn/"
	directory, ok := strings.CutPrefix(t.PkgPath(), module)
	if t.PkgPath() == "main" || t.PkgPath() == module+"cmd/cairnbot" {
		directory, ok = "cmd/cairnbot", true
	}
	if !ok {
		return nil
	}
	key := directory + "." + t.Name()
	if found, ok := w.comments[key]; ok {
		return found
	}
	files, err := filepath.Glob(filepath.Join("../..", directory, "*.go"))
	if err != nil {
		panic(err)
	}
	for _, path := range files {
		tree, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			panic(err)
		}
		ast.Inspect(tree, func(node ast.Node) bool {
			declaration, ok := node.(*ast.GenDecl)
			if !ok {
				return true
			}
			for _, spec := range declaration.Specs {
				if spec, ok := spec.(*ast.TypeSpec); ok {
					if structure, ok := spec.Type.(*ast.StructType); ok {
						w.comments[directory+"."+spec.Name.Name] = fieldComments(declaration.Doc.Text(), structure)
					}
				}
			}
			return false
		})
	}
	return w.comments[key]
}

func fieldComments(doc string, structure *ast.StructType) map[string]string {
	plain := func(text string) string { return strings.Join(strings.Fields(text), " ") }
	comments := map[string]string{"": plain(doc)}
	for _, field := range structure.Fields.List {
		text := plain(field.Doc.Text() + " " + field.Comment.Text())
		for _, name := range field.Names {
			comments[name.Name] = text
		}
	}
	return comments
}

// checkSchema is the command of scripts "schema VERB": the standard output of the last command is what docs/schema says of the verb, and no more.
func checkSchema(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(validate(args[0], []byte(ts.ReadFile("stdout"))))
}

// schemaDirectory is absolute: scripts run elsewhere.
var schemaDirectory = func() string {
	path, err := filepath.Abs(schemas)
	if err != nil {
		panic(err)
	}
	return path
}()

// validate has somebody else's library compare a document with the schema of a verb, to which it may add nothing.
func validate(verb string, text []byte) error {
	file, err := os.ReadFile(filepath.Join(schemaDirectory, verb+".json"))
	if err != nil {
		return err
	}
	schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(file))
	if err != nil {
		return err
	}
	closeObjects(schema)
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("schema.json", schema); err != nil {
		return err
	}
	compiled, err := compiler.Compile("schema.json")
	if err != nil {
		return fmt.Errorf("the schema of %s: %w", verb, err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	return compiled.Validate(document)
}

// closeObjects forbids members that a schema does not know. The published schemas allow them: later versions add some.
func closeObjects(schema any) {
	switch schema := schema.(type) {
	case map[string]any:
		if _, ok := schema["properties"]; ok && schema["type"] == "object" {
			schema["additionalProperties"] = false
		}
		for _, part := range schema {
			closeObjects(part)
		}
	case []any:
		for _, part := range schema {
			closeObjects(part)
		}
	}
}

func TestASchemaCanFail(t *testing.T) {
	for _, text := range []string{
		`{"format": 2, "verb": "notify", "ok": true}`, `{"format": 1, "verb": "renew", "ok": true}`, `{"format": 1, "verb": "notify"}`,
		`{"format": 1, "verb": "notify", "ok": true, "more": 1}`, `{"format": 1, "verb": "notify", "ok": false, "error": {"message": 3, "usage": false}}`,
	} {
		if validate("notify", []byte(text)) == nil {
			t.Errorf("%s passes", text)
		}
	}
	if err := validate("notify", []byte(`{"format": 1, "verb": "notify", "ok": true}`)); err != nil {
		t.Error(err)
	}
}

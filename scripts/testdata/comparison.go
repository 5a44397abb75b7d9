// Comparison is for scripts/bench: it finds free ports, and makes a table of reports of `cairn bench`.
//
//	comparison ports N
//	comparison table DIR COMMAND VERSIONS [FILE]
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

func main() {
	var err error
	switch args := os.Args[1:]; {
	case len(args) == 2 && args[0] == "ports":
		err = ports(args[1])
	case len(args) == 4 && args[0] == "table":
		err = table(args[1], args[2], args[3], "")
	case len(args) == 5 && args[0] == "table":
		err = table(args[1], args[2], args[3], args[4])
	default:
		err = fmt.Errorf("it takes: ports N, or: table DIR COMMAND VERSIONS [FILE]")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "comparison: error:", err)
		os.Exit(1)
	}
}

// ports prints ports of loopback that nobody has, for TCP.
func ports(count string) error {
	n, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer l.Close() // together, so that none comes twice
		fmt.Print(l.Addr().(*net.TCPAddr).Port, " ")
	}
	fmt.Println()
	return nil
}

// report is what the table needs of a report.
type report struct {
	PerSecond float64 `json:"perSecond"`
	Polls     float64 `json:"pollsPerCertificate"`
	Generator float64 `json:"generatorCPUPerCertificate"`
	Issuance  struct {
		P50 float64 `json:"p50"`
		P99 float64 `json:"p99"`
	} `json:"issuance"`
	Server struct {
		CPUEach    float64 `json:"cpuPerCertificate"`
		PeakMemory float64 `json:"peakMemory"`
	} `json:"server"`
}

// cell is a server at a number of clients.
type cell struct {
	server   string
	parallel int
}

// read reads the reports of a directory, which are called SERVER.PARALLEL.ROUND.json.
func read(dir string) (map[cell][]report, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	all := map[cell][]report{}
	for _, file := range files {
		parts := strings.Split(filepath.Base(file), ".")
		parallel, err := strconv.Atoi(parts[1])
		if err != nil {
			return nil, err
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var r report
		if err := json.Unmarshal(text, &r); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		c := cell{parts[0], parallel}
		all[c] = append(all[c], r)
	}
	return all, nil
}

// median is that of one figure of all rounds.
func median(rounds []report, figure func(report) float64) float64 {
	var list []float64
	for _, r := range rounds {
		list = append(list, figure(r))
	}
	slices.Sort(list)
	return (list[len(list)/2] + list[(len(list)-1)/2]) / 2
}

// Where the table stands in a document.
const (
	from = "<!-- make bench: begin -->"
	to   = "<!-- make bench: end -->"
)

func table(dir, command, versions, file string) error {
	all, err := read(dir)
	if err != nil {
		return err
	}
	var cells []cell
	for c := range all {
		cells = append(cells, c)
	}
	slices.SortFunc(cells, func(a, b cell) int {
		if a.server != b.server {
			return strings.Compare(a.server, b.server)
		}
		return a.parallel - b.parallel
	})
	var b strings.Builder
	fmt.Fprintf(&b, "`%s`; medians of the rounds; %s; %s\n\n", command, versions, machine())
	b.WriteString("| server | in parallel | CPU ms per certificate | certificates/s | p50 ms | p99 ms | polls | peak memory MiB | load generator, CPU ms |\n" +
		"|---|---|---|---|---|---|---|---|---|\n")
	for _, c := range cells {
		m := func(figure func(report) float64) float64 { return median(all[c], figure) }
		fmt.Fprintf(&b, "| %s | %d | %.2f | %.0f | %.1f | %.1f | %.2f | %.0f | %.2f |\n", c.server, c.parallel,
			m(func(r report) float64 { return r.Server.CPUEach }), m(func(r report) float64 { return r.PerSecond }),
			m(func(r report) float64 { return r.Issuance.P50 }), m(func(r report) float64 { return r.Issuance.P99 }),
			m(func(r report) float64 { return r.Polls }), m(func(r report) float64 { return r.Server.PeakMemory / (1 << 20) }),
			m(func(r report) float64 { return r.Generator }))
	}
	fmt.Print(b.String())
	if file == "" {
		return nil
	}
	return insert(file, b.String())
}

// insert puts text between the markers of a document.
func insert(file, text string) error {
	document, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, ok := bytes.Cut(document, []byte(from))
	_, after, ok2 := bytes.Cut(rest, []byte(to))
	if !ok || !ok2 {
		return fmt.Errorf("%s does not have the lines %s and %s", file, from, to)
	}
	return os.WriteFile(file, slices.Concat(before, []byte(from+"\n"+text+to), after), 0o644)
}

// machine says on what the figures were measured.
func machine() string {
	model := runtime.GOARCH
	text, _ := os.ReadFile("/proc/cpuinfo") // where there is none, the architecture is enough
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return fmt.Sprintf("%s, %d cores, %s %s", model, runtime.NumCPU(), runtime.GOOS, strings.TrimSpace(string(kernel)))
}

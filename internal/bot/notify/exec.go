package notify

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/hook"
)

// Exec runs an operator's command for each event. It goes to a shell; the event does not: it is in the environment.
type Exec struct {
	Command     string
	Environment []string      // of the command, beside the event's variables: that of the process
	Timeout     time.Duration // 0 means a minute
}

// maxOutput bounds what of a command's output goes into an error.
const maxOutput = 500

// Name is the program, where the command begins with one, and a hash of the whole: what stands behind it can be a secret.
func (e *Exec) Name() string {
	sum := sha256.Sum256([]byte(e.Command))
	name := "exec "
	if words := strings.Fields(e.Command); len(words) > 0 && !strings.ContainsAny(words[0], `='"$`+"`") {
		name += clean(words[0]) + " "
	}
	return name + hex.EncodeToString(sum[:4])
}

// Variables are an event as a command's environment has it.
func Variables(event Event) []string {
	list := []string{
		"CAIRNBOT_EVENT=" + string(event.Kind), "CAIRNBOT_ID=" + event.ID, "CAIRNBOT_LINEAGE=" + clean(event.Lineage),
		"CAIRNBOT_NAMES=" + clean(strings.Join(event.Names, " ")), "CAIRNBOT_PATH=" + clean(event.Path), "CAIRNBOT_SERVER=" + clean(event.Server),
		"CAIRNBOT_SERIAL=" + clean(event.Serial), "CAIRNBOT_FAILURES=" + strconv.Itoa(event.Failures), "CAIRNBOT_CLASS=" + clean(event.Class),
		"CAIRNBOT_PROBLEM=" + clean(event.Problem), "CAIRNBOT_SUBJECT=" + event.Subject(), "CAIRNBOT_TEXT=" + event.Text(),
		"CAIRNBOT_TIME=" + event.Time.UTC().Format(time.RFC3339),
	}
	for name, at := range map[string]*time.Time{"CAIRNBOT_EXPIRES": event.Expires, "CAIRNBOT_NEXT": event.Next} {
		if at != nil {
			list = append(list, name+"="+at.UTC().Format(time.RFC3339))
		} else {
			list = append(list, name+"=")
		}
	}
	return list
}

// Send runs the command in a process group of its own, all of which is ended when the time is up, or that of ctx.
func (e *Exec) Send(ctx context.Context, event Event) error {
	timeout := e.Timeout
	if timeout <= 0 {
		timeout = time.Minute
	}
	if deadline, ok := ctx.Deadline(); ok {
		timeout = min(timeout, time.Until(deadline).Round(time.Millisecond))
	}
	if timeout <= 0 { // an hour, to a runner
		return context.DeadlineExceeded
	}
	result := hook.NewRunner(hook.Config{Environment: e.Environment, Timeout: timeout, LimitedBy: "timeout in " + File, Grace: 2 * time.Second, MaxOutput: maxOutput}).
		Run(ctx, e.Command, Variables(event)...)
	switch said := clean(result.Stdout + result.Stderr); {
	case result.Err == nil:
		return nil
	case said == "":
		return result.Err
	default:
		return fmt.Errorf("%w: %s", result.Err, said)
	}
}

// head keeps the first bytes of what is written.
type head struct {
	bytes.Buffer
	limit int
}

func (h *head) Write(text []byte) (int, error) {
	h.Buffer.Write(text[:min(len(text), max(h.limit-h.Len(), 0))])
	return len(text), nil
}

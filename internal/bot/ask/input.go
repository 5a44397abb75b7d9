package ask

import "context"

// Input is a question that is answered with a line of text.
type Input struct {
	Question
	// Default is the answer where nobody is asked. It is used only with HasDefault: "" may be one.
	Default    string
	HasDefault bool
	// Usual is what Enter means. Without it an empty line is an answer like any other, and Check may refuse it.
	Usual string
	// Check returns an answer in the form that is wanted, or says what is wrong with it; nil takes any that is not empty.
	Check func(answer string) (string, error)
}

// Input puts q. The answer "c" cancels.
func (a *Asker) Input(ctx context.Context, q Input) (string, error) {
	if a.skips(q.Question) {
		if !q.HasDefault {
			return "", q.missing()
		}
		return q.Default, nil
	}
	check := q.Check
	if check == nil {
		check = notEmpty
	}
	a.write("\n" + a.wrap(q.with(q.Usual)) + "\n")
	var answer string
	err := a.until(ctx, q.Question, " (Enter 'c' to cancel): ", func(line string) (err error) {
		if cancels(line) {
			return ErrCancelled
		}
		if line == "" {
			line = q.Usual
		}
		answer, err = check(line)
		return err
	})
	if err != nil && q.HasDefault && a.nobody(err) {
		return q.Default, nil
	}
	return answer, err
}

func notEmpty(answer string) (string, error) {
	if answer == "" {
		return "", errEmpty
	}
	return answer, nil
}

package ask

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Answer is yes, no, or neither.
type Answer int

// The answers.
const (
	None Answer = iota
	Yes
	No
)

// YesNo is a question with two answers.
type YesNo struct {
	Question
	// Yes and No are the words for the answers, with different first letters; "" is "Yes" and "No".
	Yes, No string
	// Default is the answer where nobody is asked; None has it fail.
	Default Answer
	// Usual is what Enter means; None has it asked again.
	Usual Answer
}

// YesNo puts q. The first letter of an answer is enough.
func (a *Asker) YesNo(ctx context.Context, q YesNo) (bool, error) {
	if q.Yes == "" {
		q.Yes = "Yes"
	}
	if q.No == "" {
		q.No = "No"
	}
	if a.skips(q.Question) {
		if q.Default == None {
			return false, q.missing()
		}
		return q.Default == Yes, nil
	}
	usual := map[Answer]string{Yes: q.Yes, No: q.No}[q.Usual]
	a.framed(q.with(usual))
	var answer bool
	prompt := fmt.Sprintf("%s/%s: ", parenthesize(q.Yes), parenthesize(q.No))
	err := a.until(ctx, q.Question, prompt, func(line string) error {
		yes, no := starts(line, q.Yes), starts(line, q.No)
		switch {
		case line == "" && q.Usual != None:
			answer = q.Usual == Yes
		case yes || no:
			answer = yes
		default:
			return fmt.Errorf("answer %s or %s", letter(q.Yes), letter(q.No))
		}
		return nil
	})
	if err != nil && q.Default != None && a.nobody(err) {
		return q.Default == Yes, nil
	}
	return answer, err
}

// parenthesize marks the letter that is enough: "(Y)es".
func parenthesize(word string) string {
	first := letter(word)
	return "(" + first + ")" + word[len(first):]
}

// letter is the first one of a word.
func letter(word string) string {
	_, size := utf8.DecodeRuneInString(word)
	return word[:size]
}

// starts reports whether line is the beginning of word, or of its first word ("yes" of "Yes (recommended)").
func starts(line, word string) bool {
	line, word = strings.ToLower(line), strings.ToLower(word)
	first, _, _ := strings.Cut(word, " ")
	return line != "" && (strings.HasPrefix(word, line) || line == first)
}

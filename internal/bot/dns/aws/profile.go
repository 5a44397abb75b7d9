package aws

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/cairn-ca/cairn/internal/bot/dns/credential"
)

// profiles are the sections of the two files under ~/.aws by their names. Where both have
// a setting, that of the credentials file is the one, as with AWS's own tools.
func (s *Source) profiles() (map[string]map[string]string, error) {
	profiles := make(map[string]map[string]string)
	for _, file := range []struct {
		path   string
		prefix string // of sections that are profiles, except for "default"
	}{
		{s.path("AWS_CONFIG_FILE", "config"), "profile "},
		{s.path("AWS_SHARED_CREDENTIALS_FILE", "credentials"), ""},
	} {
		if file.path == "" {
			continue
		}
		text, err := os.ReadFile(file.path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading AWS's settings: %w", err)
		}
		for section, settings := range parseINI(text) {
			name, ok := strings.CutPrefix(section, file.prefix)
			if !ok && section != "default" {
				continue
			}
			name = strings.TrimSpace(name)
			if profiles[name] == nil {
				profiles[name] = make(map[string]string)
			}
			for key, value := range settings {
				profiles[name][key] = value
			}
		}
	}
	return profiles, nil
}

// parseINI reads sections of `name = value`. Indented lines belong to a nested setting, of which none is for us.
func parseINI(text []byte) map[string]map[string]string {
	sections := make(map[string]map[string]string)
	var section map[string]string
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		line := strings.TrimRight(lines.Text(), " \t\r")
		switch {
		case line == "", line[0] == '#', line[0] == ';', line[0] == ' ', line[0] == '\t':
		case line[0] == '[':
			name, _, _ := strings.Cut(line[1:], "]")
			name = strings.TrimSpace(name)
			if section = sections[name]; section == nil {
				section = make(map[string]string)
				sections[name] = section
			}
		default:
			key, value, ok := strings.Cut(line, "=")
			if ok && section != nil {
				value, _, _ = strings.Cut(value, " #")
				section[strings.ToLower(strings.TrimSpace(key))] = strings.TrimSpace(value)
			}
		}
	}
	return sections
}

// fromProfile takes credentials from a profile. seen are the profiles that led to it.
func (s *Source) fromProfile(ctx context.Context, profiles map[string]map[string]string, name string, seen []string) (Credentials, error) {
	profile, ok := profiles[name]
	switch {
	case !ok:
		return Credentials{}, fmt.Errorf("the profile %q has the source_profile %q, which does not exist", seen[len(seen)-1], name)
	case slices.Contains(seen, name) && profile["aws_access_key_id"] == "":
		return Credentials{}, fmt.Errorf("the profiles %q have each other as source_profile", append(seen, name))
	}
	keys := Credentials{AccessKey: profile["aws_access_key_id"], Secret: profile["aws_secret_access_key"], Token: profile["aws_session_token"]}
	r := role{arn: profile["role_arn"], external: profile["external_id"], session: profile["role_session_name"], seconds: profile["duration_seconds"]}
	switch {
	case r.arn != "" && !slices.Contains(seen, name):
		return s.fromRole(ctx, profiles, name, r, append(seen, name))
	case keys.AccessKey != "" && keys.Secret != "":
		return keys, nil
	case profile["credential_process"] != "":
		return s.runProcess(ctx, profile["credential_process"])
	case profile["sso_start_url"] != "" || profile["sso_session"] != "":
		return Credentials{}, fmt.Errorf("the profile %q signs in with a browser (SSO), which a renewal at night cannot: add `credential_process = aws configure export-credentials --profile %s` to another profile, or give this machine a role", name, name)
	}
	return Credentials{}, nil
}

// fromRole assumes the role of a profile.
func (s *Source) fromRole(ctx context.Context, profiles map[string]map[string]string, name string, r role, seen []string) (Credentials, error) {
	profile := profiles[name]
	if profile["mfa_serial"] != "" {
		return Credentials{}, fmt.Errorf("the profile %q wants a code from a person (mfa_serial), which a renewal at night cannot give: use a role without", name)
	}
	if file := profile["web_identity_token_file"]; file != "" {
		return s.webIdentity(ctx, file, r)
	}
	var from Credentials
	var err error
	switch source := profile["credential_source"]; {
	case profile["source_profile"] != "":
		from, err = s.fromProfile(ctx, profiles, profile["source_profile"], seen)
	case source == "Environment":
		from = s.fromEnvironment()
	case source == "Ec2InstanceMetadata":
		from, err = s.fromInstance(ctx)
	case source == "EcsContainer":
		from, err = s.fromContainer(ctx)
	default:
		return Credentials{}, fmt.Errorf("the profile %q has role_arn, but neither source_profile, credential_source nor web_identity_token_file: add one of them", name)
	}
	if err != nil {
		return Credentials{}, err
	}
	if from.AccessKey == "" {
		return Credentials{}, fmt.Errorf("the profile %q has role_arn, but there are no credentials to assume it with in %s", name, cmp.Or(profile["source_profile"], profile["credential_source"]))
	}
	return s.assume(ctx, from, r)
}

// runProcess runs the program that a profile names, without a shell, and reads credentials from its output
// (https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html).
func (s *Source) runProcess(ctx context.Context, command string) (Credentials, error) {
	words := splitWords(command)
	if len(words) == 0 {
		return Credentials{}, errors.New("credential_process is empty")
	}
	output, err := credential.Output(ctx, s.config.Environ, words)
	if err != nil {
		return Credentials{}, fmt.Errorf("running credential_process: %w", err)
	}
	var answer issued
	if err := json.Unmarshal(output, &answer); err != nil {
		return Credentials{}, fmt.Errorf("credential_process (%s) did not print JSON", words[0])
	}
	return answer.credentials()
}

// splitWords cuts a command at spaces that are in no quotation marks.
func splitWords(command string) []string {
	var words []string
	var word strings.Builder
	var quote rune
	begun := false
	for _, c := range command {
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(c)
		case c == '"' || c == '\'':
			quote, begun = c, true
		case c == ' ' || c == '\t':
			if begun {
				words = append(words, word.String())
			}
			word.Reset()
			begun = false
		default:
			word.WriteRune(c)
			begun = true
		}
	}
	if begun {
		words = append(words, word.String())
	}
	return words
}

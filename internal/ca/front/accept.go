package front

import (
	"mime"
	"strconv"
	"strings"
)

// maxRanges bounds how much of an Accept header is read.
const maxRanges = 64

// preferred chooses from the media types on offer, of which the first is the default, by the
// Accept headers of a request (RFC 9110 §12.5.1). Who accepts none of them, or writes
// what cannot be read, is given the default: that is what RFC 8555 §7.4.2 names so, and of more use than an error.
func preferred(accept []string, offered ...string) string {
	ranges := strings.Split(strings.Join(accept, ","), ",")
	if len(ranges) > maxRanges {
		ranges = ranges[:maxRanges]
	}
	best, bestQuality := offered[0], 0.0
	for _, mediaType := range offered {
		if quality := qualityOf(mediaType, ranges); quality > bestQuality {
			best, bestQuality = mediaType, quality
		}
	}
	return best
}

// qualityOf is the weight that the most specific of some media ranges gives to a media type; 0 if none matches.
func qualityOf(mediaType string, ranges []string) (quality float64) {
	kind, _, _ := strings.Cut(mediaType, "/")
	precision := 0
	for _, text := range ranges {
		pattern, parameters, err := mime.ParseMediaType(text)
		if err != nil {
			continue
		}
		matched := map[string]int{"*/*": 1, kind + "/*": 2, mediaType: 3}[pattern]
		if matched <= precision {
			continue
		}
		weight := 1.0
		if q, ok := parameters["q"]; ok {
			if weight, err = strconv.ParseFloat(q, 64); err != nil || !(weight >= 0 && weight <= 1) {
				continue
			}
		}
		precision, quality = matched, weight
	}
	return quality
}

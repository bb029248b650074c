package intakehttp

import (
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v2"

	"quipu/domain"
)

// ifMatchTagsMax bounds the list of one If-Match.
const ifMatchTagsMax = 50

// setETag names the version that is shown (contract C.4): its number in quotes.
func setETag(c *fiber.Ctx, version int) {
	c.Set(fiber.HeaderETag, strconv.Quote(strconv.Itoa(version)))
}

// ifMatch reads the versions that a change may be made on: nil for any, an empty list if it names none
// that there can be. Weak tags and those of others are well-formed and match nothing (RFC 9110, 13.1.1).
// Errors: ErrInvalid naming the header.
func ifMatch(c *fiber.Ctx) ([]int, error) {
	// A list may be spread over several lines of the same name.
	var lines []string
	for _, v := range c.Request().Header.PeekAll(fiber.HeaderIfMatch) {
		lines = append(lines, string(v))
	}
	rest := strings.Trim(strings.Join(lines, ","), " \t")
	if len(lines) == 0 || rest == "*" {
		return nil, nil
	}
	bad := domain.E(domain.KindInvalid, "", "", `must be * or at most `+strconv.Itoa(ifMatchTagsMax)+` ETags such as "3"`).
		WithField("header/" + fiber.HeaderIfMatch).WithCode("INVALID_ETAG")
	versions := []int{}
	for tags := 0; ; tags++ {
		tag, after, ok := entityTag(rest)
		if !ok || tags == ifMatchTagsMax {
			return nil, bad
		}
		if n, err := strconv.Atoi(tag); err == nil && n > 0 && strconv.Itoa(n) == tag {
			versions = append(versions, n)
		}
		if after == "" {
			return versions, nil
		}
		if after[0] != ',' {
			return nil, bad
		}
		rest = strings.TrimLeft(after[1:], " \t")
	}
}

// entityTag reads one ETag off the front; a weak one gives "".
func entityTag(s string) (tag, rest string, ok bool) {
	weak := strings.HasPrefix(s, "W/")
	s = strings.TrimPrefix(s, "W/")
	if !strings.HasPrefix(s, `"`) {
		return "", "", false
	}
	end := strings.IndexByte(s[1:], '"')
	if end < 0 || strings.ContainsFunc(s[1:1+end], func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return "", "", false
	}
	tag, rest = s[1:1+end], strings.TrimLeft(s[end+2:], " \t")
	if weak {
		tag = ""
	}
	return tag, rest, true
}

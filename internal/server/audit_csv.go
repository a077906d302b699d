package server

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// harmless keeps a spreadsheet from taking a text, or a part of it, for a formula: an apostrophe comes before each part
// that begins as one. A part also begins where a spreadsheet may split the text: behind a semicolon, a tab and the end
// of a line.
func harmless(cell string) string {
	var out strings.Builder
	part, copied, undecided := 0, 0, true // undecided: of this part only blanks, quotation marks and the like came yet
	if cell != "" && strings.IndexByte("\t\n\r", cell[0]) >= 0 {
		out.WriteByte('\'')
	}
	for i, r := range cell {
		switch {
		case splits(r):
			part, undecided = i+utf8.RuneLen(r), true
		case !undecided:
		case strings.ContainsRune("=+-@＝＋－＠", r):
			out.WriteString(cell[copied:part])
			out.WriteByte('\'')
			copied, undecided = part, false
		case r != '"' && !unicode.In(r, unicode.Zs, unicode.Cf, unicode.Cc):
			undecided = false
		}
	}
	if out.Len() == 0 {
		return cell
	}
	out.WriteString(cell[copied:])
	return out.String()
}

// splits reports whether a spreadsheet may begin a cell, or a row, behind a character.
func splits(r rune) bool {
	switch r {
	case ';', '\t', '\n', '\v', '\f', '\r', '\u0085', '\u2028', '\u2029':
		return true
	}
	return false
}

package main

import (
	"fmt"
	"html"
	"strings"
)

// What the chart measures, in pixels: a row, where bars begin, where the goal stands, and how far a bar may go.
const (
	rowHeight = 28
	barsAt    = 380
	goalAt    = barsAt + 220
	barsEnd   = barsAt + 440
)

// chart draws how far each goal is reached as a bar, and the goals as one line: twice as good as asked for is twice as
// long. Rows without a goal are left out.
func chart(rows []row) string {
	var bars strings.Builder
	y := 40
	for _, r := range rows {
		reached := 0.0
		switch {
		case r.Least > 0:
			reached = r.Value / r.Least
		case r.AtMost > 0 && r.Value > 0:
			reached = r.AtMost / r.Value
		default:
			continue
		}
		colour := map[string]string{"yes": "#2f7d4f", "no": "#b5482f"}[r.Reached]
		width := min(reached*(goalAt-barsAt), barsEnd-barsAt)
		fmt.Fprintf(&bars, `<text x="%d" y="%d" text-anchor="end">%s</text>`,
			barsAt-10, y+14, html.EscapeString(r.Title+", "+r.What))
		fmt.Fprintf(&bars, `<rect x="%d" y="%d" width="%.0f" height="18" fill="%s"/>`, barsAt, y, width, colour)
		fmt.Fprintf(&bars, `<text x="%d" y="%d">%.2f (%s)</text>`+"\n",
			barsEnd+10, y+14, r.Value, html.EscapeString(r.goal()))
		y += rowHeight
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %[1]d %[2]d" width="%[1]d" height="%[2]d"
 font-family="sans-serif" font-size="13">
<rect width="100%%" height="100%%" fill="white"/>
<text x="%[3]d" y="24" text-anchor="middle">goal</text>
%[4]s<line x1="%[3]d" y1="30" x2="%[3]d" y2="%[5]d" stroke="black" stroke-dasharray="4 3"/>
</svg>
`, barsEnd+150, y+10, goalAt, bars.String(), y)
}

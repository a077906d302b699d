package server

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/breakpilot/tenant-registry/internal/audit"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/server/web"
)

// exported is an export as NDJSON.
type exported struct {
	text            []byte
	header, trailer object
	events          []object
}

// exported asks for an export and reads its lines.
func (c *client) exported(target string) exported {
	c.t.Helper()
	x := exported{text: c.get(target).want(http.StatusOK).wantHeader("Content-Type", "application/x-ndjson").body}
	var lines []object
	for line := range bytes.Lines(x.text) {
		var members object
		if err := json.Unmarshal(line, &members); err != nil {
			c.t.Fatalf("%s: %v", line, err)
		}
		lines = append(lines, members)
	}
	if len(lines) < 2 {
		c.t.Fatalf("%s → %s", target, x.text)
	}
	x.header, x.events, x.trailer = lines[0], lines[1:len(lines)-1], lines[len(lines)-1]
	return x
}

// seqs are the places of the events.
func (x exported) seqs() []float64 {
	list := []float64{}
	for _, e := range x.events {
		list = append(list, e["event"].(object)["seq"].(float64))
	}
	return list
}

// verify holds an export, which may be a part, to itself and to a proof.
func (x exported) verify(t *testing.T, p audit.Proof) audit.Verdict {
	t.Helper()
	p.Part = true
	found := audit.VerifyExport(bytes.NewReader(x.text), p)
	if found.Status != audit.OK {
		t.Errorf("%s in\n%s", found.Text, x.text)
	}
	return found
}

// place is the text in a cursor after an event.
func place(e eventBody) string { return placeAt(e.Seq, e.ChainHash) }

func placeAt(seq int64, chainHash string) string { return fmt.Sprintf("%d.%s", seq, chainHash[:16]) }

func TestAuditExport_ndjsonVerifies(t *testing.T) {
	eachStoreWith(t, registry.Options{Signer: testSigner}, func(t *testing.T, api *client) {
		x := api.tenant("globex").ID
		for i := range 5 {
			api.report(fmt.Sprintf("a.%d", i), object{
				"group": object{"id": x}, "fields": object{"z": "ü<>&\U0001f642", "a": "\n"}, "metadata": object{},
			})
			api.report("platform.start", nil)
		}
		for query, c := range map[string]struct {
			seqs  []float64
			group any
		}{
			"?tenant_id=" + x.String():                          {[]float64{1, 2, 3, 4, 5, 6}, x.String()},
			"?from_seq=3&tenant_id=" + x.String():               {[]float64{3, 4, 5, 6}, x.String()},
			"?from_seq=2&to_seq=3&tenant_id=" + x.String():      {[]float64{2, 3}, x.String()},
			"?to_seq=1&tenant_id=" + x.String():                 {[]float64{1}, x.String()},
			"?to_seq=99&from_seq=6&tenant_id=" + x.String():     {[]float64{6}, x.String()},
			"?from_seq=7&format=ndjson&tenant_id=" + x.String(): {[]float64{}, x.String()},
			"": {[]float64{1, 2, 3, 4, 5}, nil},
			"?tenant_id=00000000-0000-0000-0000-000000000000": {[]float64{1, 2, 3, 4, 5}, nil},
		} {
			got := api.exported("/v1/audit/export" + query)
			wantEqual(t, query, got.seqs(), c.seqs)
			if got.header["group"] != c.group || got.header["version"] != 2.0 {
				t.Errorf("%s: the header is %v", query, got.header)
			}
			found := got.verify(t, audit.Proof{Key: testVerifier})
			if found.Count != int64(len(c.seqs)) || got.trailer["count"] != float64(len(c.seqs)) {
				t.Errorf("%s: %+v, the trailer is %v", query, found, got.trailer)
			}
		}
		fourth := place(api.events()[5]) // of the tenant
		for query, parameter := range map[string]string{
			"from_seq=8": "from_seq", "from_seq=0": "from_seq", "from_seq=01": "from_seq", "to_seq=-1": "to_seq",
			"from_seq=":           "from_seq",
			"from_seq=4&to_seq=2": "to_seq", "format=json": "format", "format=": "format", "cursor=x": "cursor",
			"action=a":                  "action",
			"from_seq=9007199254740993": "from_seq", "to_seq=9223372036854775808": "to_seq",
			"cursor=" + web.SealCursor("audit-export:"+x.String(), "7"):             "cursor",
			"cursor=" + web.SealCursor("audit-export:all", fourth):                  "cursor",
			"from_seq=1&cursor=" + web.SealCursor("audit-export:"+x.String(), ""):   "from_seq",
			"cursor=" + web.SealCursor("audit:true:"+x.String(), fourth):            "cursor",
			"to_seq=2&cursor=" + web.SealCursor("audit-export:"+x.String(), fourth): "to_seq",
		} {
			api.send(fetch(
				"/v1/audit/export?tenant_id="+x.String()+"&"+query,
			)).wantProblem("invalid_request", "?"+parameter)
		}
		for _, at := range []string{placeAt(7, fourth[2:]), placeAt(3, fourth[2:]), placeAt(1<<63-1, fourth[2:])} {
			cursor := web.SealCursor("audit-export:"+x.String(), at)
			api.get("/v1/audit/export?tenant_id="+x.String()+"&cursor="+cursor).wantProblem("cursor_gone", "?cursor")
		}
	})
}

// Exports that follow each other by next_cursor are one chain, however long it is, and each verifies alone.
func TestAuditExport_continuesByCursor(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		target := newQuery("/v1/audit/export")
		head := strings.Repeat("0", 64)
		for i := range 3 {
			for range i {
				api.report("a.b", nil)
			}
			got := api.exported(target.String())
			if found := got.verify(t, audit.Proof{}); got.header["prev_chain_hash"] != head || found.Count != int64(i) {
				t.Errorf("the export number %d is\n%s", i+1, got.text)
			}
			head = got.trailer["chain_hash"].(string)
			target = target.set("cursor", got.trailer["next_cursor"])
			if got.trailer["checkpoint"] != nil {
				t.Error("there is a checkpoint without a key")
			}
		}
	})
}

// manyEvents fills the platform's chain.
func manyEvents(api *client, n int) {
	api.t.Helper()
	events := make([]audit.Event, n)
	for i := range events {
		events[i] = audit.Event{Action: "a.b", CRUD: audit.Read, IsAnonymous: true, ExternalID: fmt.Sprint(i)}
	}
	for some := range slices.Chunk(events, registry.MaxBulk) {
		if _, err := api.registry.RecordEvents(api.t.Context(), operatorCaller, some); err != nil {
			api.t.Fatal(err)
		}
	}
}

// What is written while an export goes on is not part of it, and what has more than one page is whole.
func TestAuditExport_leavesOutLaterEvents(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		manyEvents(api, 450)
		reads := atomic.Int32{}
		live := failing(api, func(call string) error {
			if call == "ListAuditEvents" && reads.Add(1) == 2 {
				manyEvents(api, 3)
			}
			return nil
		})
		got := live.exported("/v1/audit/export")
		if found := got.verify(t, audit.Proof{}); found.Count != 450 || reads.Load() < 3 {
			t.Errorf("%d events in %d reads, want 450 in several", found.Count, reads.Load())
		}
		if all := live.exported("/v1/audit/export").verify(t, audit.Proof{}); all.Count != 453 {
			t.Errorf("another export has %d events", all.Count)
		}
	})
}

// A store that fails in the middle cuts the connection, so that no reader takes a part for the whole export. One that
// fails before is 503.
func TestAuditExport_isCutIfTheStoreFails(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		manyEvents(api, 450)
		for _, format := range []string{"ndjson", "csv"} {
			reads := atomic.Int32{}
			broken := failing(api, func(call string) error {
				if call == "ListAuditEvents" && reads.Add(1) == 3 {
					return fmt.Errorf("%w: %s", registry.ErrUnavailable, secretCause)
				}
				return nil
			})
			resp, err := broken.http.Get(broken.url + "/v1/audit/export?format=" + format)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK || !errors.Is(err, io.ErrUnexpectedEOF) ||
				bytes.Contains(text, []byte(`"next_cursor"`)) {
				t.Errorf("%s: %d, %v, %d bytes", format, resp.StatusCode, err, len(text))
			}
			if !strings.Contains(broken.log.String(), "hunter2") {
				t.Error("the log does not say why")
			}
			if v := audit.VerifyExport(bytes.NewReader(text), audit.Proof{}); format == "ndjson" &&
				(v.Status != audit.Fault || !strings.Contains(v.Text, "is missing: the file is cut short")) {
				t.Errorf("what came is verified as %+v", v)
			}
			first := failing(api, func(string) error { return registry.ErrUnavailable })
			first.get("/v1/audit/export?format=" + format).wantProblem("unavailable")
		}
	})
}

func TestAuditExport_csvHasEveryMember(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.tenant("globex").ID
		api.report("a.b", object{
			"group":       object{"id": x, "name": "+Globex"},
			"actor":       object{"id": "=1+1", "name": "-x", "href": "@x", "fields": object{"b": "2", "a": "=1"}},
			"description": "a \"quote\",\r\nand\nlines", "external_id": "'=x", "metadata": object{}, "fields": object{},
		})
		got := api.get("/v1/audit/export?format=csv&tenant_id="+x.String()).want(http.StatusOK).
			wantHeader("Content-Type", "text/csv; charset=utf-8").
			wantHeader("Content-Disposition", `attachment; filename="audit-`+x.String()+`-1-2.csv"`)
		if !bytes.Contains(got.body, []byte("a \"\"quote\"\",\r\nand\nlines")) {
			t.Errorf("the text is changed in %q", got.body)
		}
		rows, err := csv.NewReader(bytes.NewReader(got.body)).ReadAll()
		if err != nil || len(rows) != 3 {
			t.Fatalf("%d rows, %v", len(rows), err)
		}
		cell := func(name string) string { return rows[2][slices.Index(rows[0], name)] }
		e := as[web.Page[object]](api.get("/v1/audit?order=asc&tenant_id=" + x.String())).Items[1]
		for name, want := range map[string]string{
			"seq": "2", "id": e["id"].(string), "group_id": x.String(), "group_name": "'+Globex", "action": "a.b",
			"crud": "c", "actor_id": "'=1+1",
			"actor_name": "'-x", "actor_href": "'@x", "actor_type": "", "actor_fields": `{"a":"=1","b":"2"}`,
			"target_id": "", "target_fields": "",
			"is_failure": "false", "is_anonymous": "false", "fields": "{}", "metadata": "{}", "external_id": "'=x",
			"emitter_id": "operator",
			"created":    e["created"].(string), "received": e["received"].(string), "hash": e["hash"].(string),
			"prev_chain_hash": e["prev_chain_hash"].(string), "chain_hash": e["chain_hash"].(string),
			"correlation_id": e["correlation_id"].(string),
		} {
			if got := cell(name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		empty := api.get("/v1/audit/export?format=csv").want(http.StatusOK)
		if rows, err := csv.NewReader(bytes.NewReader(empty.body)).ReadAll(); err != nil || len(rows) != 1 {
			t.Errorf("of a chain without events: %q, %v", empty.body, err)
		}
		manyEvents(api, 450)
		long, err := csv.NewReader(bytes.NewReader(api.get("/v1/audit/export?format=csv").body)).ReadAll()
		if err != nil || len(long) != 451 || long[450][0] != "450" {
			t.Errorf("%d rows, %v", len(long), err)
		}
	})
}

// Each part of a cell that a spreadsheet would take for a formula is quoted, and no other, also where it splits rows at
// semicolons or tabs, and whatever it makes of quotation marks.
func TestAuditExport_csvHasNoFormulas(t *testing.T) {
	t.Parallel()
	for cell, want := range map[string]string{
		"": "", "=1": "'=1", "+1": "'+1", "-1": "'-1", "@x": "'@x", "\tx": "'\tx", "\rx": "'\rx", "x=1": "x=1",
		" =1": "' =1", "é": "é", "\nx": "'\nx", "＝1": "'＝1", "＋1": "'＋1", "－1": "'－1", "＠x": "'＠x",
		"x;=1": "x;'=1", "x;y": "x;y", "x; =1": "x;' =1", "x;\"=1": "x;'\"=1", ";;@x;": ";;'@x;",
		"x;=1;+2": "x;'=1;'+2",
		"x\t-1":   "x\t'-1", "x\n=1": "x\n'=1", "x\r\n=1": "x\r\n'=1", "x\r=1": "x\r'=1", "x\v=1": "x\v'=1",
		"x\u2028=1": "x\u2028'=1", "x;＝1": "x;'＝1", "\t=1": "'\t'=1", `{"k":"v;=1"}`: `{"k":"v;'=1"}`,
		"\u200b=1": "'\u200b=1", "'=1": "'=1", "x;'=1": "x;'=1", "a=b;c=d": "a=b;c=d", "\xff=1": "\xff=1",
		"2026-03-02T09:30:00.000000Z": "2026-03-02T09:30:00.000000Z",
	} {
		if got := harmless(cell); got != want {
			t.Errorf("%q becomes %q, want %q", cell, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		cell := rapid.StringOf(rapid.SampledFrom([]rune("=+-@＝\t\n\r; \"'x,{é"))).Draw(t, "cell")
		got := harmless(cell)
		for part := range strings.FieldsFuncSeq(got, func(r rune) bool { return strings.ContainsRune(";\t\n\r", r) }) {
			if part = strings.TrimLeft(part, ` "`); part != "" && strings.ContainsRune("=+-@＝", []rune(part)[0]) {
				t.Fatalf("%q becomes %q, where %q is a formula", cell, got, part)
			}
		}
		if strings.ReplaceAll(got, "'", "") != strings.ReplaceAll(cell, "'", "") {
			t.Fatalf("%q becomes %q", cell, got)
		}
	})
}

// A tenant's log outlives it: until there is an endpoint it is deleted by SQL.
func TestAuditExport_outlivesTheTenant(t *testing.T) {
	t.Parallel()
	store, dsn := openPostgres(t)
	api := newClient(t, store, registry.Options{Signer: testSigner})
	api.dsn = dsn
	x := api.activeTenant("globex").ID
	api.report("a.b", object{"group": object{"id": x}})
	own := "?tenant_id=" + x.String()
	paths := []string{"/v1/audit", "/v1/audit/chain", "/v1/audit/export", "/v1/audit/export", "/v1/audit/checkpoint"}
	var before []string
	for _, path := range paths {
		before = append(before, string(api.get(path+own).want(http.StatusOK).body))
	}
	api.sql(`DELETE FROM tenants WHERE id = $1`, x)
	api.get(join("/v1/tenants", x)).wantProblem("tenant_not_found")
	for i, path := range paths {
		if after := string(api.get(path + own).want(http.StatusOK).body); after != before[i] {
			t.Errorf("%s was\n%s\nand is\n%s", path, before[i], after)
		}
	}
	found := api.exported("/v1/audit/export"+own).verify(t, audit.Proof{Key: testVerifier, Checkpoint: before[4]})
	if found.Count != 3 || found.GroupID != x {
		t.Errorf("the export has %+v", found)
	}
	api.report("a.c", nil)
	api.get("/v1/audit/chain?tenant_id="+uuid.NewString()).wantProblem("tenant_not_found", "?tenant_id")
}

// sql changes the database beside the store.
func (c *client) sql(text string, args ...any) {
	c.t.Helper()
	conn, err := pgx.Connect(c.t.Context(), c.dsn)
	if err != nil {
		c.t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(c.t.Context(), text, args...); err != nil {
		c.t.Fatal(err)
	}
}

func TestAuditExport_chainHeadIsThatOfTheGroup(t *testing.T) {
	eachStore(t, func(t *testing.T, api *client) {
		x := api.tenant("globex").ID
		head := func(query string) chainBody {
			return as[chainBody](api.get("/v1/audit/chain" + query).want(http.StatusOK))
		}
		zeros := strings.Repeat("0", 64)
		wantEqual(t, "the platform's chain", head(""), chainBody{nil, 0, zeros})
		wantEqual(t, "the platform's chain by its id", head("?tenant_id="+uuid.Nil.String()), chainBody{nil, 0, zeros})
		api.report("a.b", nil)
		e := api.report("a.b", object{"group": object{"id": x}})
		wantEqual(t, "the tenant's chain", head("?tenant_id="+x.String()), chainBody{&x, 2, e.ChainHash})
		if got := head(""); got.Size != 1 || got.Head == zeros {
			t.Errorf("the platform's chain: %+v", got)
		}
		for _, path := range []string{"/v1/audit/chain", "/v1/audit/checkpoint", "/v1/audit/export"} {
			api.get(path+"?tenant_id="+unknownID.String()).wantProblem("tenant_not_found", "?tenant_id")
			api.send(fetch(path+"?tenant_id=x")).wantProblem("invalid_request", "?tenant_id")
			api.send(fetch(path+"?limit=1")).wantProblem("invalid_request", "?limit")
		}
	})
}

func TestAuditExport_checkpointSignsTheHead(t *testing.T) {
	eachStoreWith(t, registry.Options{Signer: testSigner}, func(t *testing.T, api *client) {
		x := api.tenant("globex").ID
		for target, group := range map[string]uuid.UUID{"": uuid.Nil, "?tenant_id=" + x.String(): x} {
			got := api.get("/v1/audit/checkpoint"+target).want(http.StatusOK).wantHeader(
				"Content-Type", "text/plain; charset=utf-8",
			)
			head := as[chainBody](api.get("/v1/audit/chain" + target))
			lines := strings.Split(string(got.body), "\n")
			if lines[0] != "tenant-registry/"+group.String() || lines[1] != fmt.Sprint(head.Size) ||
				lines[3] != "time 2026-03-02T09:30:00.000000Z" || !strings.HasPrefix(lines[5], "— test ") {
				t.Errorf("the note is %q", got.body)
			}
		}
		for i := range 5 {
			api.report(fmt.Sprintf("a.%d", i), object{"group": object{"id": x}})
		}
		for _, to := range []int64{1, 4, 6} { // the head is that of the chain, wherever the export ends
			target := fmt.Sprintf("/v1/audit/export?tenant_id=%s&to_seq=%d", x, to)
			found := api.exported(target).verify(t, audit.Proof{Key: testVerifier})
			if found.Last != to || found.Chain.Head.Seq != 6 || !found.Chain.At.Equal(start) {
				t.Errorf("to seq %d: %+v", to, found)
			}
		}
		without := newClient(t, api.store, registry.Options{Now: api.clock.now})
		without.get("/v1/audit/checkpoint").wantProblem("no_checkpoints")
		without.get("/v1/audit/checkpoint?tenant_id="+unknownID.String()).wantProblem("tenant_not_found", "?tenant_id")
	})
}

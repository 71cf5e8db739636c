package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const begin = `{"record":"run","format":1,"harness":"simulation","seed":1}` + "\n"

// A history of lines with quotes written as ticks.
func told(t *testing.T, lines ...string) *history {
	t.Helper()
	text := begin
	for _, line := range lines {
		text += strings.ReplaceAll(line, "`", `"`) + "\n"
	}
	h, err := read(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func write(called, returned, value string) string {
	return "{`record`:`call`,`client`:`w`,`called`:" + called + ",`returned`:" + returned +
		",`operation`:{`type`:`write`,`object`:`quota/a`,`value`:`" + value + "`},`outcome`:{`is`:`" + is(returned) + "`}}"
}

func is(returned string) string {
	if returned == "null" {
		return "unknown"
	}
	return "ok"
}

func readOf(called, returned, value string) string {
	return "{`record`:`call`,`client`:`r`,`called`:" + called + ",`returned`:" + returned +
		",`operation`:{`type`:`read`,`object`:`quota/a`,`at`:``},`outcome`:{`is`:`ok`,`value`:`" + value + "`}}"
}

func onTask(kind, called, returned, state string) string {
	return "{`record`:`call`,`client`:`c`,`called`:" + called + ",`returned`:" + returned + ",`operation`:{`type`:`" + kind +
		"`,`framework`:`f`,`agent`:`a`,`task`:`t`,`tasks`:[`t`],`state`:`" + state +
		"`,`uuid`:`u`},`outcome`:{`is`:`" + is(returned) + "`,`value`:`" + state + "`}}"
}

func updated(at, state string) string {
	return "{`record`:`seen`,`at`:" + at + ",`observer`:`s`,`what`:{`sight`:`updated`,`framework`:`f`,`task`:`t`,`state`:`" +
		state + "`,`uuid`:`u`}}"
}

func verdictOf(t *testing.T, h *history, name string) string {
	t.Helper()
	verdicts, _ := judge(h, time.Minute)
	for _, verdict := range verdicts {
		if verdict.Check == "porcupine-"+name {
			return verdict.Is
		}
	}
	t.Fatalf("no verdict on %s: %v", name, verdicts)
	return ""
}

func expect(t *testing.T, name, is string, lines ...string) {
	t.Helper()
	if found := verdictOf(t, told(t, lines...), name); found != is {
		t.Errorf("%s is %s, expected %s: %s", name, found, is, strings.Join(lines, "\n"))
	}
}

func TestRegisters(t *testing.T) {
	expect(t, "register", "nothing_to_check")
	expect(t, "quota", "held", write("1", "2", "1"), readOf("3", "4", "1"))
	expect(t, "quota", "violated", write("1", "2", "1"), readOf("3", "4", ""))
	// Unknown: late, never, but once only.
	open := write("1", "null", "1")
	expect(t, "quota", "held", open, write("2", "3", "2"), readOf("4", "5", "2"), readOf("6", "7", "1"))
	expect(t, "quota", "violated", open, write("2", "3", "2"), readOf("6", "7", "1"), readOf("8", "9", "2"))
	// Calls that touch are concurrent.
	expect(t, "quota", "held", write("1", "2", "1"), readOf("2", "3", ""))
}

func TestTasks(t *testing.T) {
	launch := onTask("launch", "1", "2", "")
	expect(t, "task", "held", launch, onTask("read_task", "3", "4", "TASK_STAGING"))
	expect(t, "task", "held", launch, onTask("read_task", "3", "4", ""))
	expect(t, "task", "violated", launch, onTask("read_task", "3", "4", "TASK_STAGING"), onTask("read_task", "5", "6", ""))
	running := onTask("report", "3", "null", "TASK_RUNNING")
	expect(t, "task", "held", launch, running, updated("5", "TASK_RUNNING"), onTask("read_task", "6", "7", "TASK_RUNNING"))
	expect(t, "task", "violated", launch, running, updated("5", "TASK_RUNNING"), onTask("read_task", "6", "7", "TASK_STAGING"))
	received := "{`record`:`seen`,`at`:2,`observer`:`a`,`what`:{`sight`:`launch_received`,`framework`:`f`,`task`:`t`,`agent`:`a`}}"
	starting := onTask("report", "3", "4", "TASK_STARTING")
	expect(t, "task", "violated", launch, received, starting, onTask("read_task", "6", "7", "TASK_RUNNING"))
	expect(t, "task", "held", launch, received, onTask("report", "3", "null", "TASK_STARTING"), onTask("read_task", "6", "7", "TASK_RUNNING"))
	// An agent that does not write may have reported it, but no task goes back.
	expect(t, "task", "held", launch, onTask("read_task", "6", "7", "TASK_RUNNING"))
	expect(t, "task", "violated", launch, onTask("read_task", "6", "7", "TASK_RUNNING"), onTask("read_task", "8", "9", "TASK_STARTING"))
	// A report that may never have happened is no contradiction to a launch that was refused.
	expect(t, "task", "held", launch, running, onTask("read_task", "6", "7", ""))
	acknowledged := onTask("report", "3", "5", "TASK_FINISHED")
	expect(t, "task", "violated", launch, acknowledged, onTask("read_task", "6", "7", "TASK_STAGING"))
	expect(t, "task", "held", launch, acknowledged, onTask("read_task", "6", "7", "TASK_FINISHED"), onTask("read_task", "8", "9", ""))
}

func TestExitCodes(t *testing.T) {
	folder := t.TempDir()
	code := func(text string, more ...string) (int, string) {
		path := filepath.Join(folder, "history")
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "`", `"`)), 0o600); err != nil {
			t.Fatal(err)
		}
		var output, errors bytes.Buffer
		return run(append([]string{path}, more...), &output, &errors), output.String() + errors.String()
	}
	good := begin + write("1", "2", "1") + "\n" + readOf("3", "4", "1") + "\n"
	bad := good + readOf("5", "6", "") + "\n"
	for _, it := range []struct {
		text string
		code int
		says string
	}{
		{good, 0, `{"check":"porcupine-quota","is":"held","looked_at":1}`},
		{bad, 1, `"evidence":[4]`},
		{begin, 3, "nothing_to_check"},
		{"", 2, "does not begin"},
		{good + "{\n", 2, "line 4"},
		{strings.Replace(begin, ":1,", ":9,", 1), 2, "format 9: expected 1"},
	} {
		if found, output := code(it.text); found != it.code || !strings.Contains(output, it.says) {
			t.Errorf("exit %d, expected %d with %s: %s", found, it.code, it.says, output)
		}
	}
	if found, _ := code(good+good[len(begin):len(begin)+20], "--timeout", "1s"); found != 0 {
		t.Errorf("a last line that was cut off: exit %d", found)
	}
	page := filepath.Join(folder, "page.html")
	if found, output := code(bad, "--visualize", page); found != 1 {
		t.Errorf("exit %d: %s", found, output)
	}
	if drawn, err := os.ReadFile(page); err != nil || !bytes.Contains(drawn, []byte("<html")) {
		t.Errorf("no picture: %v", err)
	}
	var output bytes.Buffer
	if found := run([]string{filepath.Join(folder, "none")}, &output, &output); found != 2 {
		t.Errorf("a file that is not there: exit %d", found)
	}
	if found := run(nil, &output, &output); found != 2 {
		t.Errorf("no file: exit %d", found)
	}
}

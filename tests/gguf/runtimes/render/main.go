// Executes a template with Go's text/template as Ollama does: the functions and the data it offers.
// Reads {"template", "cases": [{"messages", "think", "is_think_set"}]} and writes one {"text", "error"} a case.
package main

import (
	"encoding/json"
	"os"
	"strings"
	"text/template"
)

type message struct {
	Role, Content, Thinking string
	ToolCalls               []any
}

type request struct {
	Template string
	Cases    []struct {
		Messages    []*message
		Think, IsThinkSet bool
	}
}

type result struct {
	Text  string `json:"text"`
	Error string `json:"error"`
}

func main() {
	var asked request
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		panic(err)
	}
	functions := template.FuncMap{"json": func(v any) string { b, _ := json.Marshal(v); return string(b) }}
	parsed, err := template.New("").Option("missingkey=zero").Funcs(functions).Parse(asked.Template)
	if err != nil {
		panic(err)
	}
	results := make([]result, len(asked.Cases))
	for i, c := range asked.Cases {
		var text strings.Builder
		err := parsed.Execute(&text, map[string]any{
			"Messages": c.Messages, "Tools": []any(nil), "System": "", "Response": "", "Think": c.Think, "IsThinkSet": c.IsThinkSet,
		})
		results[i].Text = text.String()
		if err != nil {
			results[i].Error = err.Error()
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(results); err != nil {
		panic(err)
	}
}

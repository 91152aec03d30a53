package main

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	mangokong "github.com/alecthomas/mango-kong"
	"github.com/muesli/roff"

	"waybill/docs"
	"waybill/internal/fault"
	"waybill/internal/setting"
)

type helpCommand struct {
	Topic []string `arg:"" optional:"" help:"A command, or a page of the documentation; without one, commands and pages."`
}

func (c *helpCommand) Run(env *environment, parser *kong.Kong) error {
	command, err := kong.Trace(parser, c.Topic)
	if err != nil {
		return err
	}
	if len(c.Topic) == 0 || command.Selected() != nil {
		if err := command.PrintUsage(false); err != nil || len(c.Topic) > 0 {
			return err
		}
		_, err := fmt.Fprintln(env.out, "\nPages, by `waybill help PAGE`:\n ", strings.Join(pages(), " "))
		return err
	}
	name := strings.TrimSuffix(c.Topic[0], ".md")
	page, err := docs.Pages.ReadFile(name + ".md")
	if err != nil {
		return fault.New(fault.Usage, "find", "help on "+name, fmt.Errorf("there is no such command or page%s", setting.DidYouMean(name, pages())),
			"`waybill help` lists both")
	}
	_, err = env.out.Write(page)
	return err
}

// pages are the names of the documentation's pages.
func pages() []string {
	found, _ := fs.Glob(docs.Pages, "*.md") // fails only for an invalid pattern
	for i, name := range found {
		found[i] = strings.TrimSuffix(name, ".md")
	}
	return found
}

type explainCommand struct {
	Word string `arg:"" optional:"" help:"A state or an error's word, as status and errors print it: gap, forked, held."`
}

func (c *explainCommand) Run(env *environment) error {
	entries, words := explanations()
	if c.Word == "" {
		_, err := fmt.Fprintln(env.out, strings.Join(words, "\n"))
		return err
	}
	if entry, ok := entries[strings.ToLower(c.Word)]; ok {
		_, err := fmt.Fprintln(env.out, entry)
		return err
	}
	return fault.New(fault.Usage, "explain", c.Word, errors.New("there is no such state or error"+setting.DidYouMean(c.Word, words)),
		"`waybill explain` lists them")
}

// explanations are the sections of the page of states and errors, by the words of their headings.
func explanations() (entries map[string]string, words []string) {
	page, _ := docs.Pages.ReadFile("states.md") // embedded
	entries = map[string]string{}
	for i, section := range strings.Split(string(page), "\n## ") {
		heading, text, _ := strings.Cut(section, "\n")
		if i == 0 {
			continue // the page's own heading
		}
		for word := range strings.SplitSeq(heading, ", ") {
			words = append(words, word)
			entries[strings.ToLower(word)] = heading + "\n" + strings.TrimRight(text, "\n")
		}
	}
	slices.Sort(words)
	return entries, words
}

type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"${enum}."`
}

// completions make a shell ask this program for completions.
var completions = map[string]string{
	"bash": "complete -o default -C waybill waybill\n",
	"zsh":  "autoload -U +X bashcompinit && bashcompinit\ncomplete -o default -C waybill waybill\n",
	"fish": `function __complete_waybill
    set -lx COMP_LINE (commandline -cp)
    test -z (commandline -ct)
    and set COMP_LINE "$COMP_LINE "
    waybill
end
complete -c waybill -a "(__complete_waybill)"
`,
}

func (c *completionCommand) Run(env *environment) error {
	_, err := fmt.Fprint(env.out, completions[c.Shell])
	return err
}

type manCommand struct{}

func (manCommand) Run(env *environment, parser *kong.Kong) error {
	_, err := fmt.Fprint(env.out, mangokong.NewManPage(1, parser.Model).Build(roff.NewDocument()))
	return err
}

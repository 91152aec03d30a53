package main

import (
	"slices"
	"strings"
)

// sql finds the mutations of one SQL text.
type sql struct {
	text    string
	symbols []symbol
	found   []mutation
}

// mutation replaces the bytes from..to of a text.
type mutation struct {
	kind     string
	from, to int
	text     string
}

func mutateSQL(text string) []mutation {
	s := sql{text: text, symbols: symbols(text)}
	for i, t := range s.symbols {
		s.comparison(i)
		s.connective(i)
		s.null(i)
		s.clause(i)
		switch t.text {
		case "COALESCE", "LEAST", "GREATEST":
			s.arguments(i)
		case "WHEN":
			s.row(i)
		case "ELSE":
			if end := s.end(i+1, "END"); s.is(end, "END") && s.symbols[end].depth == t.depth-1 {
				s.drop("ELSE of a CASE", i, end)
			}
		}
	}
	return s.found
}

func (s *sql) is(i int, texts ...string) bool {
	return i >= 0 && i < len(s.symbols) && slices.Contains(texts, s.symbols[i].text)
}

func (s *sql) replace(kind string, from, to int, text string) {
	s.found = append(s.found, mutation{kind, s.symbols[from].from, s.symbols[to-1].to, text})
}

// drop takes away the symbols from..to.
func (s *sql) drop(kind string, from, to int) {
	if from < to {
		s.replace(kind, from, to, "")
	}
}

// ends are the words at which a condition or a clause ends.
var ends = strings.Fields(`; , WHERE ON GROUP ORDER HAVING LIMIT OFFSET RETURNING UNION INTERSECT EXCEPT FOR WINDOW JOIN LEFT RIGHT INNER
	FULL CROSS THEN ELSE WHEN END LOOP DO AS SET VALUES EXECUTE SELECT IF ELSIF RETURN PERFORM CHECK STORED USING INTO RAISE`)

// end returns the first symbol from i on that ends a condition which begins there.
func (s *sql) end(i int, except ...string) int {
	if i >= len(s.symbols) {
		return len(s.symbols)
	}
	depth := s.symbols[i].depth
	if s.is(i, ")") {
		return i
	}
	for ; i < len(s.symbols); i++ {
		t := s.symbols[i]
		if t.depth < depth || t.depth == depth && (s.is(i, except...) || slices.Contains(ends, t.text) && !s.called(i) || t.text == "FROM" && !s.is(i-1, "DISTINCT")) {
			return i
		}
	}
	return i
}

// called says that a word such as LEFT is a function's name here.
func (s *sql) called(i int) bool { return s.is(i, "LEFT", "RIGHT") && s.is(i+1, "(") }

// start returns where the condition begins that ends before i.
func (s *sql) start(i int, except ...string) int {
	depth := s.symbols[i].depth
	for i--; i >= 0; i-- {
		t := s.symbols[i]
		if t.depth < depth && (t.text == "(" || t.text == "[" || t.text == "CASE") ||
			t.depth == depth && (s.is(i, except...) || slices.Contains(ends, t.text) && !s.called(i) || t.text == ":=") {
			return i + 1
		}
	}
	return 0
}

// between says that the AND at i belongs to a BETWEEN.
func (s *sql) between(i int) bool {
	for j := i - 1; j >= s.start(i); j-- {
		if s.symbols[j].depth == s.symbols[i].depth && s.is(j, "AND", "OR") {
			return false
		}
		if s.is(j, "BETWEEN") {
			return true
		}
	}
	return false
}

func (s *sql) connective(i int) {
	if s.is(i, "NOT") {
		if !s.is(i-1, "IS", "IF", "WITH", "AS") && !s.is(i+1, "NULL", "MATERIALIZED", "VALID", "DEFERRABLE") {
			s.drop("NOT", i, i+1)
		}
		return
	}
	if s.is(i, "AND") && !s.between(i) {
		s.drop("conjunct", i, s.end(i+1, "AND", "OR"))
		s.drop("conjunct", s.start(i, "AND", "OR"), i+1)
		s.replace("AND to OR", i, i+1, "OR")
	}
	if s.is(i, "OR") && !s.is(i-1, "CREATE", "INSERT", "UPDATE", "DELETE") {
		s.drop("alternative", i, s.end(i+1, "OR"))
		s.drop("alternative", s.start(i, "OR"), i+1)
		s.replace("OR to AND", i, i+1, "AND")
	}
}

// comparison negates the operator at i, and moves its boundary.
func (s *sql) comparison(i int) {
	negated := map[string]string{"=": "<>", "<>": "=", "<": ">=", ">": "<=", "<=": ">", ">=": "<"}
	boundary := map[string]string{"<": "<=", "<=": "<", ">": ">=", ">=": ">"}
	t := s.symbols[i]
	if n, ok := negated[t.text]; ok && !s.assigns(i) {
		s.replace("negation", i, i+1, n)
		if b, ok := boundary[t.text]; ok {
			s.replace("boundary", i, i+1, b)
		}
	}
	if !s.is(i, "IS") {
		return
	}
	switch {
	case s.is(i+1, "DISTINCT"):
		s.replace("negation", i, i+3, "IS NOT DISTINCT FROM")
		s.replace("NULL in a comparison", i, i+3, "<>")
	case s.is(i+1, "NOT") && s.is(i+2, "DISTINCT"):
		s.replace("negation", i, i+4, "IS DISTINCT FROM")
		s.replace("NULL in a comparison", i, i+4, "=")
	}
}

// assigns says that the = at i gives a column its value.
func (s *sql) assigns(i int) bool {
	depth := s.symbols[i].depth
	for j := i - 1; j >= 0 && s.symbols[j].depth >= depth; j-- {
		if s.symbols[j].depth == depth && (s.is(j, ";") || slices.Contains(ends, s.symbols[j].text) && !s.is(j, ",", "END")) {
			return s.is(j, "SET", "USING")
		}
	}
	return false
}

// null negates IS NULL, and IS NOT TRUE and its like.
func (s *sql) null(i int) {
	if !s.is(i, "NULL", "TRUE", "FALSE") {
		return
	}
	if s.is(i-1, "NOT") && s.is(i-2, "IS") {
		s.drop("negation", i-1, i)
	} else if s.is(i-1, "IS") {
		s.replace("negation", i, i+1, "NOT "+s.symbols[i].text)
	}
}

// clause drops the clause that begins at i, or the only condition of a WHERE or ON.
func (s *sql) clause(i int) {
	switch {
	case s.is(i, "ON") && s.is(i+1, "CONFLICT"):
		end := i + 1
		for end < len(s.symbols) && s.symbols[end].depth >= s.symbols[i].depth && (s.symbols[end].depth > s.symbols[i].depth || !s.is(end, "RETURNING", ";")) {
			end++
		}
		s.drop("ON CONFLICT", i, end)
	case s.is(i, "WHERE", "HAVING") || s.is(i, "ON") && s.joins(i):
		if end := s.end(i + 1); end > i+1 && !s.compound(i+1, end) {
			s.replace("condition", i+1, end, "true")
		}
	case s.is(i, "IF", "ELSIF") && s.is(s.end(i+1), "THEN"):
		s.replace("condition", i+1, s.end(i+1), "NOT ("+s.text[s.symbols[i+1].from:s.symbols[s.end(i+1)-1].to]+")")
	case s.is(i, "UPDATE", "INSERT", "DELETE", "PERFORM", "SELECT", "WITH", "RAISE") && s.begins(i) || s.is(i+1, ":=") && s.begins(i):
		if end := slices.IndexFunc(s.symbols[i:], func(t symbol) bool { return t.text == ";" }); end > 0 {
			s.drop("statement", i, i+end+1)
		}
	case s.is(i, "ORDER") && s.is(i+1, "BY"):
		end := i + 2
		for s.is(end-1, ",") || end == i+2 {
			end = s.end(end) + 1
		}
		s.drop("ORDER BY", i, end-1)
	case s.is(i, "FOR") && s.is(i+1, "UPDATE", "SHARE", "NO", "KEY") && i > 0:
		end := i + 1
		for s.is(end, "UPDATE", "SHARE", "NO", "KEY") {
			end++
		}
		if s.is(end, "OF") {
			end += 2
		}
		if s.is(end, "SKIP") {
			s.drop("SKIP LOCKED", end, end+2)
			end += 2
		}
		s.drop("row lock", i, end)
	case s.is(i, "DISTINCT") && s.is(i-1, "SELECT") && !s.is(i+1, "ON"):
		s.drop("DISTINCT", i, i+1)
	}
}

// joins says that the ON at i has the condition of a join.
func (s *sql) joins(i int) bool {
	for j := i - 1; j >= 0 && !s.is(j, ";", "ON"); j-- {
		if s.is(j, "JOIN") {
			return true
		}
	}
	return false
}

// begins says that a statement of a file or of a function's body begins at i.
func (s *sql) begins(i int) bool {
	return s.symbols[i].depth == 0 && (i == 0 || s.is(i-1, ";", "BEGIN", "THEN", "ELSE", "LOOP"))
}

// compound says that the condition has several parts, each of which is dropped by itself.
func (s *sql) compound(from, to int) bool {
	for i := from; i < to; i++ {
		if s.symbols[i].depth == s.symbols[from].depth && s.is(i, "AND", "OR") && !s.between(i) {
			return true
		}
	}
	return false
}

// arguments drops each argument but the first, and of LEAST and GREATEST that too.
func (s *sql) arguments(i int) {
	if !s.is(i+1, "(") {
		return
	}
	depth, kind := s.symbols[i].depth, "argument of "+s.symbols[i].text
	var commas []int
	at := i + 2
	for ; at < len(s.symbols) && s.symbols[at].depth > depth; at++ {
		if s.is(at, ",") && s.symbols[at].depth == depth+1 {
			commas = append(commas, at)
		}
	}
	for n, comma := range commas {
		end := at
		if n+1 < len(commas) {
			end = commas[n+1]
		}
		s.drop(kind, comma, end)
	}
	if len(commas) > 0 && !s.is(i, "COALESCE") {
		s.drop(kind, i+2, commas[0]+1)
	}
}

// row makes the row of a CASE, or the WHEN of a trigger, that begins at i never, or always, apply.
func (s *sql) row(i int) {
	end := s.end(i + 1)
	switch {
	case !s.is(end, "THEN"):
		return
	case s.symbols[i-1].depth < s.symbols[i].depth || s.is(i-1, "CASE") || s.searched(i):
		s.replace("row of a CASE", i+1, end, "false")
	}
}

// searched says that the CASE around i has no operand.
func (s *sql) searched(i int) bool {
	for j := i - 1; j >= 0; j-- {
		if s.is(j, "CASE") && s.symbols[j].depth == s.symbols[i].depth-1 {
			return s.is(j+1, "WHEN")
		}
	}
	return false
}

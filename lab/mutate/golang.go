package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strconv"
	"strings"
)

// statement is how an SQL text in a Go string begins, or what it holds.
var statement = regexp.MustCompile(`^\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\s|\s(WHERE|FROM|ON CONFLICT)\s`)

// golang finds the mutations of one Go file.
type golang struct {
	text  string
	file  *token.File
	found []mutation
}

// mutateGo returns the mutations of a file's code, and those of the SQL in its strings.
func mutateGo(text string) ([]mutation, error) {
	files := token.NewFileSet()
	parsed, err := parser.ParseFile(files, "", text, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	g := golang{text: text, file: files.File(parsed.Pos())}
	ast.Inspect(parsed, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec, *ast.TypeSpec:
			return false
		case *ast.BinaryExpr:
			g.binary(n)
		case *ast.UnaryExpr:
			if n.Op == token.NOT {
				g.replace("negation", n.Pos(), n.X.Pos(), "")
			}
		case *ast.IfStmt:
			g.condition(n.Cond)
		case *ast.ForStmt:
			if n.Cond != nil {
				g.replace("loop", n.Cond.Pos(), n.Cond.End(), "false")
			}
		case *ast.CaseClause:
			if len(n.List) == 1 && isComparison(n.List[0]) {
				g.replace("case", n.List[0].Pos(), n.List[0].End(), "false && ("+g.between(n.List[0].Pos(), n.List[0].End())+")")
			}
		case *ast.ExprStmt:
			if strings.HasPrefix(g.between(n.Pos(), n.End()), "crashpoint.") {
				return false
			}
			g.replace("statement", n.Pos(), n.End(), "")
		case *ast.IncDecStmt:
			g.replace("statement", n.Pos(), n.End(), "")
		case *ast.BranchStmt:
			if n.Label == nil && n.Tok != token.FALLTHROUGH {
				g.replace("statement", n.Pos(), n.End(), "")
			}
		case *ast.BasicLit:
			g.literal(n)
		}
		return true
	})
	return g.found, nil
}

func isComparison(x ast.Expr) bool {
	switch x := x.(type) {
	case *ast.BinaryExpr:
		return x.Op.Precedence() <= token.EQL.Precedence()
	case *ast.UnaryExpr:
		return x.Op == token.NOT
	}
	return false
}

func (g *golang) between(from, to token.Pos) string {
	return g.text[g.file.Offset(from):g.file.Offset(to)]
}

func (g *golang) replace(kind string, from, to token.Pos, text string) {
	g.found = append(g.found, mutation{kind, g.file.Offset(from), g.file.Offset(to), text})
}

// condition negates a condition as a whole, unless it is a comparison: its operator is negated instead.
func (g *golang) condition(x ast.Expr) {
	if !isComparison(x) {
		g.replace("condition", x.Pos(), x.End(), "!("+g.between(x.Pos(), x.End())+")")
	}
}

func (g *golang) binary(n *ast.BinaryExpr) {
	operator := func(kind, op string) {
		g.replace(kind, n.OpPos, n.OpPos+token.Pos(len(n.Op.String())), op)
	}
	switch n.Op {
	case token.LAND, token.LOR:
		operator(map[token.Token]string{token.LAND: "AND to OR", token.LOR: "OR to AND"}[n.Op], map[token.Token]string{token.LAND: "||", token.LOR: "&&"}[n.Op])
		g.replace("conjunct", n.X.Pos(), n.Y.Pos(), "")
		g.replace("conjunct", n.X.End(), n.Y.End(), "")
	case token.EQL:
		operator("negation", "!=")
	case token.NEQ:
		operator("negation", "==")
	case token.LSS, token.LEQ, token.GTR, token.GEQ:
		operator("negation", map[token.Token]string{token.LSS: ">=", token.LEQ: ">", token.GTR: "<=", token.GEQ: "<"}[n.Op])
		operator("boundary", map[token.Token]string{token.LSS: "<=", token.LEQ: "<", token.GTR: ">=", token.GEQ: ">"}[n.Op])
	case token.ADD, token.SUB:
		if !strings.Contains(g.between(n.Pos(), n.End()), `"`) && !strings.Contains(g.between(n.Pos(), n.End()), "`") {
			operator("arithmetic", map[token.Token]string{token.ADD: "-", token.SUB: "+"}[n.Op])
		}
	case token.MUL, token.QUO:
		operator("arithmetic", map[token.Token]string{token.MUL: "/", token.QUO: "*"}[n.Op])
	}
}

// literal mutates the SQL in a string, and adds one to a small number. Larger numbers are limits or sizes.
func (g *golang) literal(n *ast.BasicLit) {
	switch n.Kind {
	case token.INT:
		if value, err := strconv.ParseInt(n.Value, 0, 64); err == nil && value < 3 {
			g.replace("number", n.Pos(), n.End(), strconv.FormatInt(value+1, 10))
		}
	case token.STRING:
		inner := n.Value[1 : len(n.Value)-1]
		if statement.MatchString(inner) && (n.Value[0] == '`' || !strings.Contains(inner, `\`)) {
			at := g.file.Offset(n.Pos()) + 1
			for _, m := range mutateSQL(inner) {
				g.found = append(g.found, mutation{"SQL: " + m.kind, at + m.from, at + m.to, m.text})
			}
		}
	}
}

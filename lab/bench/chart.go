package main

import (
	"encoding/json"
	"errors"
	"image/color"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// files has each series' chart.
var files = map[string]string{known: "speed-events.svg", logged: "speed-batches.svg", readers: "speed-consumers.svg"}

// drawAll makes charts of the folder's sizes.json.
func drawAll(folder string) error {
	data, err := os.ReadFile(filepath.Join(folder, "sizes.json"))
	if err != nil {
		return err
	}
	var measured struct{ Rows []row }
	if err := json.Unmarshal(data, &measured); err != nil {
		return err
	}
	plot.DefaultFont = font.Font{Typeface: "Liberation", Variant: "Sans"}
	for series, file := range files {
		if !slices.ContainsFunc(measured.Rows, func(r row) bool { return r.Series == series }) {
			continue
		}
		if err := chart(filepath.Join(folder, file), series, measured.Rows); err != nil {
			return err
		}
	}
	return nil
}

// chart draws a series' times and memory side by side.
func chart(file, series string, rows []row) error {
	const width, height = 18 * vg.Centimeter, 7 * vg.Centimeter
	canvas := vgsvg.New(width, height)
	halves := draw.Tiles{Cols: 2, Rows: 1, PadX: vg.Centimeter, PadLeft: 3 * vg.Millimeter, PadTop: vg.Millimeter, PadBottom: vg.Millimeter, PadRight: 3 * vg.Millimeter}
	whole := draw.New(canvas)
	whole.SetColor(color.White) // pages may be dark
	whole.Fill(whole.Rectangle.Path())
	for i, unit := range []string{"ms", "MiB"} {
		p, err := panel(series, unit, rows)
		if err != nil {
			return err
		}
		p.Draw(halves.At(whole, i, 0))
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = canvas.WriteTo(f)
	return errors.Join(err, f.Close())
}

// colours are those of exports and of imports.
var colours = map[bool]color.Color{false: color.RGBA{R: 0x1f, G: 0x5f, B: 0xa8, A: 0xff}, true: color.RGBA{R: 0xc4, G: 0x55, B: 0x10, A: 0xff}}

// panel has a line of medians for each of a unit's lines, and bars for the middle half of the measurements.
func panel(series, unit string, rows []row) (*plot.Plot, error) {
	p := plot.New()
	p.X.Label.Text, p.Y.Label.Text = series, unit
	p.X.Scale = plot.LogScale{}
	p.Y.Min = 0
	p.Legend.Top, p.Legend.Left, p.Legend.TextStyle.Font.Size = true, true, vg.Points(9)
	var lines []string
	var sizes []plot.Tick
	for _, r := range rows {
		if r.Series == series && r.Unit == unit && !slices.Contains(lines, r.Line) {
			lines = append(lines, r.Line)
		}
	}
	for i, line := range lines {
		var medians spread
		for _, r := range rows {
			if r.Series != series || r.Line != line {
				continue
			}
			medians.add(r)
			if i == 0 {
				sizes = append(sizes, plot.Tick{Value: float64(r.Size), Label: label(r.Size)})
			}
		}
		l, points, err := plotter.NewLinePoints(medians.XYs)
		if err != nil {
			return nil, err
		}
		bars, err := plotter.NewYErrorBars(medians)
		if err != nil {
			return nil, err
		}
		c := colours[strings.HasPrefix(line, "import")]
		if strings.Contains(line, "processor") || strings.Contains(line, "of all") {
			l.Dashes = []vg.Length{vg.Points(3), vg.Points(2)}
		}
		l.Color, points.Color, bars.Color = c, c, c
		points.Shape = draw.CircleGlyph{}
		p.Add(l, points, bars)
		p.Legend.Add(line, l)
	}
	p.X.Tick.Marker = plot.ConstantTicks(sizes)
	p.Y.Max *= 1.6 // room for the legend
	return p, nil
}

// spread is a line of medians, and how far the middle half of the values lies around each.
type spread struct {
	plotter.XYs
	plotter.YErrors
}

func (s *spread) add(r row) {
	sorted := slices.Sorted(slices.Values(r.Values))
	s.XYs = append(s.XYs, plotter.XY{X: float64(r.Size), Y: r.Median})
	s.YErrors = append(s.YErrors, struct{ Low, High float64 }{r.Median - sorted[len(sorted)/4], sorted[len(sorted)*3/4] - r.Median})
}

// label writes 1000000 as 1M.
func label(size int) string {
	switch {
	case size >= 1_000_000:
		return strconv.Itoa(size/1_000_000) + "M"
	case size >= 1000:
		return strconv.Itoa(size/1000) + "k"
	default:
		return strconv.Itoa(size)
	}
}

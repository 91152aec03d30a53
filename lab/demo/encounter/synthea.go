package encounter

import (
	"waybill/partner/format/record"
	"waybill/partner/format/table"
)

// synthea is the dialect of Synthea's CSV.
var synthea = &table.Layout{Multiline: 100}

// The columns without which a Synthea file can't be understood.
var columns = []string{"ID", "START", "STOP", "PATIENT", "ENCOUNTERCLASS"}

func fromCSV(rows *table.Rows, site Site) (Encounter, error) {
	row, err := rows.Next()
	if err != nil {
		return Encounter{}, err
	}
	e, err := fromRow(row, site)
	if err != nil {
		return e, row.Refuse(err)
	}
	return e, nil
}

// fromRow reads a row, which has no status: what began before now took place.
func fromRow(row table.Row, site Site) (Encounter, error) {
	e := Encounter{Line: row.Line, Kind: kindOf(row.Get("ENCOUNTERCLASS"), row.Get("CODE"))}
	var err error
	if e.Start, err = timeOf(row.Get("START"), site.Zone); err != nil {
		return e, record.Field("START", err)
	}
	if e.End, err = timeOf(row.Get("STOP"), site.Zone); err != nil {
		return e, record.Field("STOP", err)
	}
	e.Status = statusAt(e.Start, site.Now)
	return e.finish(row.Get("ID"), row.Get("PATIENT"), site.Source)
}

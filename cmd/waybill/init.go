package main

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"text/template"

	"waybill/importer"
	"waybill/internal/fault"
	"waybill/partner"
)

var (
	//go:embed init-export.yaml
	exportTemplate string
	//go:embed init-import.yaml
	importTemplate string
	// configSchema is the schema with which editors check a configuration. A test generates it from the
	// settings' structs.
	//go:embed waybill.schema.json
	configSchema string
	// storeSchema is that of the files in the folder stores.
	//go:embed store.schema.json
	storeSchema string
)

// schemaFile lies next to the configurations, which name it in their first line.
const (
	schemaFile      = "waybill.schema.json"
	storeSchemaFile = "store.schema.json"
)

type initCommand struct {
	Service      string `arg:"" help:"patients, morgue, appointments, or the folder of a custom consumer, such as ./statistics."`
	DatabaseFile string `placeholder:"PATH" help:"The file that holds the database's URL (default: an environment variable holds it)."`
	Store        string `placeholder:"URL" default:"file:///srv/exchange" help:"Where the files lie (${default})."`
}

func (c *initCommand) Run(env *environment) error {
	service, text, err := c.describe()
	if err != nil {
		return err
	}
	path := service + ".yaml"
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fault.New(fault.Usage, "write", path, errors.New("it exists already"), "edit it, or move it away first")
	}
	if err != nil {
		return fault.New(fault.Usage, "write", path, err, "")
	}
	defer file.Close()
	database := "database: ${" + strings.ToUpper(service) + "_DATABASE_URL}"
	if c.DatabaseFile != "" {
		database = "database_file: " + c.DatabaseFile
	}
	values := map[string]string{"Service": service, "Consumer": c.Service, "Database": database, "Store": c.Store}
	if err := template.Must(template.New(path).Parse(text)).Execute(file, values); err != nil {
		return fault.New(fault.Usage, "write", path, err, "")
	}
	for file, schema := range map[string]string{schemaFile: configSchema, storeSchemaFile: storeSchema, partner.SchemaFile: partner.Schema} {
		if err := os.WriteFile(file, []byte(schema), 0o644); err != nil { // replaces an older release's schema
			return fault.New(fault.Usage, "write", file, err, "")
		}
	}
	edit := "edit database and store in it, then: "
	if c.DatabaseFile != "" {
		edit = "next: "
	}
	fmt.Fprintf(env.out, "wrote %s; %swaybill migrate %s\n", path, edit, service)
	return file.Close()
}

// describe returns the service's name and the template of its file.
func (c *initCommand) describe() (service, text string, err error) {
	if c.Service == "patients" {
		return c.Service, exportTemplate, nil
	}
	files, err := consumerFiles(c.Service, ".")
	if err != nil {
		return "", "", fault.New(fault.Usage, "init", c.Service, err, "")
	}
	consumer, err := importer.LoadConsumer(files)
	if err != nil {
		return "", "", err
	}
	return consumer.Name, importTemplate, nil
}

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
)

var (
	//go:embed init-export.yaml
	exportTemplate string
	//go:embed init-import.yaml
	importTemplate string
)

type initCommand struct {
	Service string `arg:"" help:"patients, morgue, appointments, or the folder of a custom consumer, such as ./statistics."`
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
	values := map[string]string{"Service": service, "Consumer": c.Service, "Variable": strings.ToUpper(service) + "_DATABASE_URL"}
	if err := template.Must(template.New(path).Parse(text)).Execute(file, values); err != nil {
		return fault.New(fault.Usage, "write", path, err, "")
	}
	fmt.Fprintf(env.out, "wrote %s; edit database and store in it, then: waybill migrate %s\n", path, service)
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

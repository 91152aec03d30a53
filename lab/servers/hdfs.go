package servers

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"waybill/internal/fault"
	"waybill/lab/child"
)

// HDFSUser owns the folders of [HDFS.MakeFolder]; hdfsRoot may do anything.
const (
	HDFSUser = "waybill"
	hdfsRoot = "hdfs"
)

// HDFS is a NameNode, whose WebHDFS is at Addr, with one DataNode.
type HDFS struct {
	*Server
	DataNode *Server

	dir     string
	jars    string
	rpcPort int
}

// StartHDFS starts both, which keep all they have in dir, and returns once files can be written. They run as the current
// account, and check permissions by the names that requests give.
func StartHDFS(ctx context.Context, dir string, log io.Writer) (*HDFS, error) {
	h := &HDFS{dir: dir}
	var err error
	if h.jars, err = hdfsJars(); err == nil {
		err = os.CopyFS(h.name(), os.DirFS(filepath.Join(h.jars, "name")))
	}
	if err == nil {
		h.rpcPort, err = child.FreePort(ctx)
	}
	if err != nil {
		return nil, fault.New(fault.Transient, "prepare", "HDFS", err, fault.HintOf(err))
	}
	if h.Server, err = start(ctx, "NameNode", log, h.command("namenode.NameNode", h.nameNode)); err != nil {
		return nil, err
	}
	if h.DataNode, err = start(ctx, "DataNode", log, h.command("datanode.DataNode", h.dataNode)); err == nil {
		err = h.WaitWritable(ctx)
	}
	if err != nil {
		h.Kill()
		return nil, err
	}
	return h, nil
}

func (h *HDFS) name() string { return filepath.Join(h.dir, "name") }

// command runs a daemon with settings of its own: from a file, because not every one of them takes arguments.
func (h *HDFS) command(class string, settings func(port int) map[string]string) func(int) (*exec.Cmd, error) {
	return func(port int) (*exec.Cmd, error) {
		conf := filepath.Join(h.dir, filepath.Ext(class)[1:])
		common := map[string]string{
			"fs.defaultFS":   "hdfs://127.0.0.1:" + strconv.Itoa(h.rpcPort),
			"hadoop.tmp.dir": h.dir, "dfs.replication": "1",
		}
		for name, value := range settings(port) {
			common[name] = value
		}
		if err := writeSettings(conf, common); err != nil {
			return nil, err
		}
		return hadoop(h.jars, conf, "org.apache.hadoop.hdfs.server."+class), nil
	}
}

func (h *HDFS) nameNode(port int) map[string]string {
	return map[string]string{
		"dfs.namenode.http-address":       local(port),
		"dfs.namenode.name.dir":           "file://" + h.name(),
		"dfs.ls.limit":                    "100", // a long listing is read in pieces of this size; 1,000 by default
		"dfs.namenode.safemode.extension": "0",
	}
}

func (h *HDFS) dataNode(port int) map[string]string {
	return map[string]string{
		"dfs.datanode.hostname":     "127.0.0.1",
		"dfs.datanode.http.address": local(port),
		"dfs.datanode.address":      local(0),
		"dfs.datanode.ipc.address":  local(0),
		"dfs.datanode.data.dir":     "file://" + filepath.Join(h.dir, "data"),
		// By default a small file takes 400 ms: the DataNode looks once whether the NameNode knows its block, and then sleeps.
		"dfs.client.block.write.locateFollowingBlock.initial.delay.ms": "10",
	}
}

func local(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }

func writeSettings(conf string, settings map[string]string) error {
	var text strings.Builder
	text.WriteString("<configuration>\n")
	for name, value := range settings {
		fmt.Fprintf(&text, "<property><name>%s</name><value>%s</value></property>\n", name, value)
	}
	text.WriteString("</configuration>\n")
	if err := os.MkdirAll(conf, 0o755); err != nil {
		return err
	}
	for _, file := range []string{"core-site.xml", "hdfs-site.xml"} { // the defaults of HDFS are read between the two
		if err := os.WriteFile(filepath.Join(conf, file), []byte(text.String()), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// hadoop runs a class in a small Java machine.
func hadoop(jars, conf, class string, args ...string) *exec.Cmd {
	line := []string{"-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"}
	for _, open := range []string{"java.base/java.lang", "java.base/java.util", "java.base/java.lang.reflect", "java.base/java.text"} {
		line = append(line, "--add-opens", open+"=ALL-UNNAMED")
	}
	line = append(line, "-cp", conf+":"+filepath.Join(jars, "*"), class)
	cmd := exec.Command("java", append(line, args...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8", "TZ=UTC", "HADOOP_USER_NAME=" + hdfsRoot}
	return cmd
}

// WaitWritable waits until the NameNode has a DataNode to write to.
func (h *HDFS) WaitWritable(ctx context.Context) error {
	tick := time.NewTicker(5 * readyInterval)
	defer tick.Stop()
	for {
		status, err := h.Do(ctx, http.MethodPut, "CREATE", "/writable", nil) // this reserves nothing
		if err == nil && status == http.StatusTemporaryRedirect {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return h.failed("wait for", cmp.Or(err, ctx.Err()))
		}
	}
}

// Do has the NameNode do one operation as the user who may do anything, and returns the answer's status.
func (h *HDFS) Do(ctx context.Context, method, op, path string, options url.Values) (int, error) {
	query := url.Values{"op": {op}, "user.name": {hdfsRoot}}
	for name, values := range options {
		query[name] = values
	}
	u := url.URL{Scheme: "http", Host: h.Addr(), Path: "/webhdfs/v1" + path, RawQuery: query.Encode()}
	request, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return 0, err
	}
	answer, err := http.DefaultTransport.RoundTrip(request) // which follows no redirects
	if err != nil {
		return 0, err
	}
	return answer.StatusCode, answer.Body.Close()
}

// Set does one operation on a file or folder, such as SETOWNER, with one option.
func (h *HDFS) Set(ctx context.Context, path, op, option, value string) error {
	status, err := h.Do(ctx, http.MethodPut, op, path, url.Values{option: {value}})
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%s of %s was answered by %d", op, path, status)
	}
	return err
}

// MakeFolder makes a folder that [HDFSUser] owns.
func (h *HDFS) MakeFolder(ctx context.Context, path string) error {
	err := h.Set(ctx, path, "MKDIRS", "permission", "755")
	if err == nil {
		err = h.Set(ctx, path, "SETOWNER", "owner", HDFSUser)
	}
	return err
}

// Kill ends both with SIGKILL.
func (h *HDFS) Kill() {
	if h.DataNode != nil {
		h.DataNode.Kill()
	}
	h.Server.Kill()
}

// Stop kills both: nothing that they would still write is of use.
func (h *HDFS) Stop(context.Context) error {
	h.Kill()
	return nil
}

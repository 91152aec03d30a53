package servers

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
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

// HDFSOptions say how to run an HDFS.
type HDFSOptions struct {
	DataNodes int    // each has a replica of every file; 0: one
	Host      string // by which redirects name them; "" is 127.0.0.1
	TLS       bool   // which all then demand
	KDC       *KDC   // by which all then demand proof of who asks, and TLS
	Gateway   bool   // an HttpFS, too; it believes names
	Log       io.Writer
}

// HDFS is a NameNode, whose WebHDFS is at Addr, with DataNodes.
type HDFS struct {
	*Server
	DataNodes []*Server
	Gateway   *Server // nil: there is none

	options HDFSOptions
	dir     string
	jars    string
	rpcPort int
	client  *http.Client
}

// StartHDFS starts them all, which keep all they have in dir, and returns once files can be written. They run as the current
// account, and check permissions by the names that requests give.
func StartHDFS(ctx context.Context, dir string, options HDFSOptions) (*HDFS, error) {
	options.TLS = options.TLS || options.KDC != nil
	options.DataNodes, options.Host = max(options.DataNodes, 1), cmp.Or(options.Host, "127.0.0.1")
	h := &HDFS{dir: dir, options: options, client: &http.Client{Transport: http.DefaultTransport}}
	var err error
	if h.jars, err = hadoopProgram().home("servers-hdfs"); err == nil {
		err = os.CopyFS(h.name(), os.DirFS(filepath.Join(h.jars, "name")))
	}
	if err == nil {
		h.rpcPort, err = child.FreePort(ctx)
	}
	if err == nil && options.TLS {
		err = h.makeKeys(ctx)
	}
	if err == nil && options.KDC != nil {
		err = h.secure()
	}
	if err != nil {
		return nil, fault.New(fault.Transient, "prepare", "HDFS", err, fault.HintOf(err))
	}
	if h.Server, err = start(ctx, "NameNode", options.Log, h.command("hdfs.server.namenode.NameNode", "name", h.nameNode)); err != nil {
		return nil, err
	}
	for i := 0; i < options.DataNodes && err == nil; i++ {
		var node *Server
		node, err = start(ctx, "DataNode", options.Log, h.command("hdfs.server.datanode.DataNode", fmt.Sprint("data-", i), h.dataNode))
		h.DataNodes = append(h.DataNodes, node)
	}
	if err == nil {
		err = h.waitUntil(ctx, h.allLive)
	}
	if err == nil {
		err = h.WaitWritable(ctx)
	}
	if err == nil && options.Gateway {
		err = h.startGateway(ctx)
	}
	if err != nil {
		h.Kill()
		return nil, err
	}
	return h, nil
}

func (h *HDFS) name() string { return filepath.Join(h.dir, "name") }

func (h *HDFS) conf(name string) string { return filepath.Join(h.dir, "conf-"+name) }

// command runs a daemon with settings of its own: from a file, because not every one of them takes arguments.
func (h *HDFS) command(class, name string, settings func(port int, files string) map[string]string) func(int) (*exec.Cmd, error) {
	return func(port int) (*exec.Cmd, error) {
		conf := h.conf(name)
		common := map[string]string{
			"fs.defaultFS":   "hdfs://127.0.0.1:" + strconv.Itoa(h.rpcPort),
			"hadoop.tmp.dir": h.dir, "dfs.replication": strconv.Itoa(h.options.DataNodes),
		}
		maps.Copy(common, settings(port, "file://"+filepath.Join(h.dir, name)))
		maps.Copy(common, h.tlsSettings())
		maps.Copy(common, h.securitySettings())
		if err := writeSettings(conf, common); err != nil {
			return nil, err
		}
		cmd := hadoop(h.jars, conf, "org.apache.hadoop."+class)
		if h.options.KDC != nil {
			cmd.Env = append(cmd.Env, "JDK_JAVA_OPTIONS=-Djava.security.krb5.conf="+h.options.KDC.ConfigFile())
		}
		return cmd, nil
	}
}

func (h *HDFS) nameNode(port int, files string) map[string]string {
	return map[string]string{
		"dfs.http.policy":                 h.policy(),
		"dfs.namenode.http-address":       local(port), // of the two addresses, one is used
		"dfs.namenode.https-address":      local(port),
		"dfs.namenode.name.dir":           files,
		"dfs.ls.limit":                    "100", // a long listing is read in pieces of this size; 1,000 by default
		"dfs.namenode.safemode.extension": "0",
		"hadoop.proxyuser.hdfs.hosts":     "*", // the gateway asks in others' names
		"hadoop.proxyuser.hdfs.groups":    "*",
	}
}

func (h *HDFS) dataNode(port int, files string) map[string]string {
	return map[string]string{
		"dfs.datanode.hostname":      h.options.Host,
		"dfs.http.policy":            h.policy(),
		"dfs.datanode.http.address":  local(port),
		"dfs.datanode.https.address": local(port),
		"dfs.datanode.address":       local(0),
		"dfs.datanode.ipc.address":   local(0),
		"dfs.datanode.data.dir":      files,
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
	for _, file := range []string{"core-site.xml", "hdfs-site.xml", "ssl-server.xml", "httpfs-site.xml"} { // the defaults of HDFS are read after the first
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
	line = append(line, "-cp", conf+":"+jars+":"+filepath.Join(jars, "*"), class)
	cmd := exec.Command("java", append(line, args...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8", "TZ=UTC", "HADOOP_USER_NAME=" + hdfsRoot}
	return cmd
}

// WaitWritable waits until the NameNode has a DataNode to write to.
func (h *HDFS) WaitWritable(ctx context.Context) error {
	return h.waitUntil(ctx, func(ctx context.Context) (bool, error) {
		status, err := h.Do(ctx, http.MethodPut, "CREATE", "/writable", nil) // this reserves nothing
		return status == http.StatusTemporaryRedirect, err
	})
}

// allLive reports whether the NameNode knows all DataNodes. One that died is known for ten minutes more.
func (h *HDFS) allLive(ctx context.Context) (bool, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, h.URL()+"/jmx?qry=Hadoop:service=NameNode,name=FSNamesystemState", nil)
	if err != nil {
		return false, err
	}
	answer, err := h.client.Do(request)
	if err != nil {
		return false, err
	}
	defer answer.Body.Close()
	var state struct {
		Beans []struct{ NumLiveDataNodes int }
	}
	err = json.NewDecoder(answer.Body).Decode(&state)
	return len(state.Beans) == 1 && state.Beans[0].NumLiveDataNodes == h.options.DataNodes, err
}

func (h *HDFS) waitUntil(ctx context.Context, ready func(context.Context) (bool, error)) error {
	tick := time.NewTicker(5 * readyInterval)
	defer tick.Stop()
	for {
		is, err := ready(ctx)
		if is {
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
	u := url.URL{Path: "/webhdfs/v1" + path, RawQuery: query.Encode()}
	request, err := http.NewRequestWithContext(ctx, method, h.URL()+u.String(), nil)
	if err != nil {
		return 0, err
	}
	answer, err := h.client.Transport.RoundTrip(request) // which follows no redirects
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

// Kill ends all with SIGKILL.
func (h *HDFS) Kill() {
	if h.Gateway != nil {
		h.Gateway.Kill()
	}
	for _, node := range h.DataNodes {
		node.Kill()
	}
	h.Server.Kill()
}

// Stop kills all: nothing that they would still write is of use.
func (h *HDFS) Stop(context.Context) error {
	h.Kill()
	return nil
}

// Package check tests what a site installs with the programs and types that will read it. It is
// a module of its own: nobody who runs Waybill needs Kubernetes' types.
package check

import (
	"bytes"
	"os"
	"testing"

	"github.com/robfig/cron/v3"
	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// workload is a pod that a manifest makes, and what of it must agree with the rest.
type workload struct {
	name   string
	labels map[string]string
	pod    core.PodSpec
}

// cluster is what the manifests together define.
type cluster struct {
	workloads []workload
	named     map[string]bool // "ConfigMap/waybill-morgue"
}

// Each overlay's manifests decode with no field unknown, refer to what is there, and ask for no privilege.
func TestKubernetes(t *testing.T) {
	for overlay, workloads := range map[string]int{"cronjobs": 6, "run": 6} {
		c := readCluster(t, overlay)
		if len(c.workloads) != workloads {
			t.Fatalf("%s: %d workloads", overlay, len(c.workloads))
		}
		for _, w := range c.workloads {
			t.Run(overlay+"/"+w.name, func(t *testing.T) {
				c.refersToWhatIsThere(t, w)
				isRestricted(t, w.pod)
			})
		}
	}
}

// readCluster builds an overlay as kubectl does, and adds the secrets that a site keeps elsewhere.
func readCluster(t *testing.T, overlay string) *cluster {
	t.Helper()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), "../kubernetes/"+overlay)
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{named: map[string]bool{}}
	for _, resource := range built.Resources() {
		if resource.GetNamespace() != "waybill" {
			t.Errorf("%s is in namespace %q", resource.CurId(), resource.GetNamespace())
		}
		c.add(t, overlay, []byte(resource.MustYaml()))
	}
	secrets, err := os.ReadFile("../kubernetes/secret.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, document := range bytes.Split(secrets, []byte("\n---\n"))[1:] {
		c.add(t, "secret.example.yaml", document)
	}
	return c
}

func (c *cluster) add(t *testing.T, file string, document []byte) {
	t.Helper()
	var kind struct{ Kind string }
	if err := yaml.Unmarshal(document, &kind); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	decode := func(into any) {
		if err := yaml.UnmarshalStrict(document, into); err != nil {
			t.Fatalf("%s: %s: %v", file, kind.Kind, err)
		}
	}
	var name string
	switch kind.Kind {
	case "CronJob":
		var job batch.CronJob
		decode(&job)
		if _, err := cron.ParseStandard(job.Spec.Schedule); err != nil {
			t.Errorf("%s: %v", job.Name, err)
		}
		template := job.Spec.JobTemplate.Spec.Template
		c.workloads = append(c.workloads, workload{job.Name, template.Labels, template.Spec})
		name = job.Name
	case "Deployment":
		var d apps.Deployment
		decode(&d)
		for key, value := range d.Spec.Selector.MatchLabels {
			if d.Spec.Template.Labels[key] != value {
				t.Errorf("%s does not select its own pods", d.Name)
			}
		}
		c.workloads = append(c.workloads, workload{d.Name, d.Spec.Template.Labels, d.Spec.Template.Spec})
		name = d.Name
	case "ConfigMap":
		var m core.ConfigMap
		decode(&m)
		name = m.Name
	case "Secret":
		var s core.Secret
		decode(&s)
		name = s.Name
	case "ServiceAccount":
		var a core.ServiceAccount
		decode(&a)
		if a.AutomountServiceAccountToken == nil || *a.AutomountServiceAccountToken {
			t.Errorf("%s: pods get its token", a.Name)
		}
		name = a.Name
	case "NetworkPolicy":
		var p networking.NetworkPolicy
		decode(&p)
		name = p.Spec.PodSelector.MatchLabels["app.kubernetes.io/component"]
	default:
		t.Fatalf("%s: a %s, which nothing checks", file, kind.Kind)
	}
	c.named[kind.Kind+"/"+name] = true
}

func (c *cluster) refersToWhatIsThere(t *testing.T, w workload) {
	t.Helper()
	wanted := []string{"ServiceAccount/" + w.pod.ServiceAccountName, "NetworkPolicy/" + w.labels["app.kubernetes.io/component"]}
	volumes := map[string]bool{}
	for _, v := range w.pod.Volumes {
		volumes[v.Name] = true
		if v.ConfigMap != nil {
			wanted = append(wanted, "ConfigMap/"+v.ConfigMap.Name)
		}
		if v.Secret != nil {
			wanted = append(wanted, "Secret/"+v.Secret.SecretName)
		}
	}
	for _, container := range w.pod.Containers {
		for _, mount := range container.VolumeMounts {
			if !volumes[mount.Name] {
				t.Errorf("no volume %s", mount.Name)
			}
		}
		for _, env := range container.Env {
			wanted = append(wanted, "Secret/"+env.ValueFrom.SecretKeyRef.Name)
		}
	}
	for _, name := range wanted {
		if !c.named[name] {
			t.Errorf("no %s", name)
		}
	}
}

// isRestricted holds a pod to Kubernetes' "restricted" standard, and to a root that is read-only.
func isRestricted(t *testing.T, pod core.PodSpec) {
	t.Helper()
	s := pod.SecurityContext
	if s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.RunAsUser == nil || *s.RunAsUser == 0 {
		t.Error("may run as root")
	}
	if s == nil || s.SeccompProfile == nil || s.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault {
		t.Error("runs without a seccomp profile")
	}
	if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
		t.Error("gets a token of the cluster")
	}
	if pod.HostNetwork || pod.HostPID || pod.HostIPC {
		t.Error("shares what is the host's")
	}
	for _, container := range pod.Containers {
		s := container.SecurityContext
		if s == nil || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation {
			t.Error("may gain privileges")
		}
		if s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem {
			t.Error("may write its image")
		}
		if s == nil || s.Capabilities == nil || len(s.Capabilities.Drop) != 1 || s.Capabilities.Drop[0] != "ALL" || len(s.Capabilities.Add) > 0 {
			t.Error("keeps capabilities")
		}
		if container.Resources.Limits.Memory().IsZero() {
			t.Error("has no limit of memory")
		}
	}
}

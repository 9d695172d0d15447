{{/* What the objects are called. */}}
{{- define "vltava.name" -}}
{{- if contains "vltava" .Release.Name -}}
{{- printf "%s-operator" .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-vltava-operator" .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "vltava.selector" -}}
app.kubernetes.io/name: vltava-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "vltava.labels" -}}
{{ include "vltava.selector" . }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: vltava
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{- end -}}

{{- define "vltava.tag" -}}
{{- .Values.image.tag | default .Chart.AppVersion -}}
{{- end -}}

{{- define "vltava.account" -}}
{{- .Values.serviceAccount.name | default (include "vltava.name" .) -}}
{{- end -}}

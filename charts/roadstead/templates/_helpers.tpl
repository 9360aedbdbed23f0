{{/* What begins the names of objects: the release, with the name of the chart where it does not say it already. */}}
{{- define "roadstead.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Of what belongs to the operator. */}}
{{- define "roadstead.operator" -}}
{{ include "roadstead.fullname" . }}-operator
{{- end -}}

{{/* Of what belongs to the operator and to no namespace: two releases in two namespaces must not meet there. */}}
{{- define "roadstead.clusterwide" -}}
{{ include "roadstead.operator" . }}-{{ .Release.Namespace }}
{{- end -}}

{{- define "roadstead.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ default (include "roadstead.operator" .) .Values.serviceAccount.name }}
{{- else -}}
{{ default "default" .Values.serviceAccount.name }}
{{- end -}}
{{- end -}}

{{/* By which the operator's pods are found. The first stands in the NetworkPolicies of every registry. */}}
{{- define "roadstead.selector" -}}
app.kubernetes.io/name: roadstead-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* On every object. */}}
{{- define "roadstead.labels" -}}
{{ include "roadstead.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: roadstead
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The one image of all. */}}
{{- define "roadstead.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end -}}

{{/* Whom bindings are for. */}}
{{- define "roadstead.subjects" -}}
subjects:
  - kind: ServiceAccount
    name: {{ include "roadstead.serviceAccount" . }}
    namespace: {{ .Release.Namespace }}
{{- end -}}

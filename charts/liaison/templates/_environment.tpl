{{- /* The operator's settings: its flags' environment variables. */}}
{{- define "liaison.environment" -}}
- name: LIAISON_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: LIAISON_IDENTITY
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
{{- with .Values.namespaces }}
- name: LIAISON_NAMESPACES
  value: {{ join "," . | quote }}
{{- end }}
- name: LIAISON_PUBLIC_URL
  value: {{ .Values.publicURL | quote }}
- name: LIAISON_PUBLIC_ADDRESS
  value: {{ printf "%s:8400" .Values.listenAddress | quote }}
- name: LIAISON_INTERNAL_ADDRESS
  value: {{ printf "%s:8401" .Values.listenAddress | quote }}
- name: LIAISON_ADMISSION_ADDRESS
  value: {{ printf "%s:8443" .Values.listenAddress | quote }}
- name: LIAISON_ADMISSION_CONFIGURATION
  value: {{ ternary (include "liaison.fullname" .) "" .Values.admission.enabled | quote }}
- name: LIAISON_ADMISSION_HOSTS
  value: {{ include "liaison.admission.host" . | quote }}
- name: LIAISON_TOKEN_ADDRESS
  value: {{ printf "%s:8444" .Values.listenAddress | quote }}
- name: LIAISON_TOKEN_HOSTS
  value: {{ include "liaison.token.hosts" . | quote }}
- name: LIAISON_TOKEN_AUDIENCE
  value: {{ .Values.tokenEndpoint.audience | quote }}
- name: LIAISON_LEASE_SECONDS
  value: {{ .Values.leaderElection.leaseSeconds | quote }}
- name: LIAISON_CONCURRENCY
  value: {{ .Values.concurrency | quote }}
- name: LIAISON_REFRESH_FRACTION
  value: {{ .Values.refreshFraction | quote }}
- name: LIAISON_VERIFY_INTERVAL
  value: {{ .Values.verifyInterval | quote }}
- name: LIAISON_LOG
  value: {{ .Values.log.filter | quote }}
- name: LIAISON_LOG_JSON
  value: {{ .Values.log.json | quote }}
- name: LIAISON_PROVIDER_TIMEOUT
  value: {{ .Values.provider.timeout | quote }}
- name: LIAISON_PROVIDER_CONCURRENCY
  value: {{ .Values.provider.concurrency | quote }}
- name: LIAISON_PROVIDER_RATE
  value: {{ .Values.provider.rate | quote }}
{{- with .Values.provider.egressExceptions }}
- name: LIAISON_EGRESS_EXCEPTIONS
  value: {{ join "," . | quote }}
{{- end }}
{{- with .Values.provider.deniedNetworks }}
- name: LIAISON_EGRESS_DENIED_NETWORKS
  value: {{ join "," . | quote }}
{{- end }}
{{- with .Values.provider.egressAddresses }}
- name: LIAISON_EGRESS_ADDRESSES
  value: {{ join "," . | quote }}
{{- end }}
{{- if include "liaison.ca" . }}
- name: LIAISON_PROVIDER_CA_FILE
  value: {{ printf "/etc/liaison/ca/%s" .Values.provider.ca.key | quote }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* The volume with further certificate authorities; nothing where there is none. */}}
{{- define "liaison.ca" -}}
{{- with .Values.provider.ca }}
{{- if and .configMapName .secretName }}
{{- fail "provider.ca: give configMapName or secretName, not both" }}
{{- else if .configMapName -}}
configMap:
  name: {{ .configMapName }}
{{- else if .secretName -}}
secret:
  secretName: {{ .secretName }}
{{- end }}
{{- end }}
{{- end }}

{{- /* The name that the certificate of the listener for admission is made for. */}}
{{- define "liaison.admission.host" -}}
{{- if .Values.admission.url }}
{{- (urlParse .Values.admission.url).hostname }}
{{- else }}
{{- printf "%s-admission.%s.svc" (include "liaison.fullname" .) .Release.Namespace }}
{{- end }}
{{- end }}

{{- /* The names that the certificate of the token endpoint is made for; nothing where it is off. */}}
{{- define "liaison.token.hosts" -}}
{{- if .Values.tokenEndpoint.enabled }}
{{- $service := printf "%s-token.%s" (include "liaison.fullname" .) .Release.Namespace }}
{{- join "," (concat (list (printf "%s.svc" $service) $service) .Values.tokenEndpoint.hosts) }}
{{- end }}
{{- end }}

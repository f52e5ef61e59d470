{{- /* Made by `make generate` from src/cluster/access.rs; do not edit. */}}
{{- define "liaison.rules.cluster" -}}
- apiGroups:
  - liaison.dev
  resources:
  - connectors
  verbs:
  - get
  - list
  - watch
- apiGroups:
  - liaison.dev
  resources:
  - connectors/status
  verbs:
  - patch
- apiGroups:
  - liaison.dev
  resources:
  - folders
  verbs:
  - get
  - list
  - watch
  - patch
- apiGroups:
  - liaison.dev
  resources:
  - folders/status
  verbs:
  - patch
- apiGroups:
  - liaison.dev
  resources:
  - connections
  verbs:
  - get
  - list
  - watch
  - patch
- apiGroups:
  - liaison.dev
  resources:
  - connections/status
  verbs:
  - patch
- apiGroups:
  - liaison.dev
  resources:
  - connectionpolicies
  verbs:
  - get
  - list
  - watch
- apiGroups:
  - liaison.dev
  resources:
  - connectionpolicies/status
  verbs:
  - patch
- apiGroups:
  - liaison.dev
  resources:
  - processbindings
  verbs:
  - get
  - list
  - watch
- apiGroups:
  - liaison.dev
  resources:
  - processbindings/status
  verbs:
  - patch
- apiGroups:
  - liaison.dev
  resources:
  - consentrequests
  verbs:
  - get
  - list
  - watch
  - delete
- apiGroups:
  - liaison.dev
  resources:
  - consentrequests/status
  verbs:
  - patch
- apiGroups:
  - authorization.k8s.io
  resources:
  - subjectaccessreviews
  verbs:
  - create
- apiGroups:
  - authentication.k8s.io
  resources:
  - tokenreviews
  verbs:
  - create
- apiGroups:
  - rbac.authorization.k8s.io
  resources:
  - roles
  verbs:
  - list
  - watch
- apiGroups:
  - rbac.authorization.k8s.io
  resources:
  - rolebindings
  verbs:
  - list
  - watch
- apiGroups:
  - rbac.authorization.k8s.io
  resources:
  - clusterroles
  verbs:
  - list
  - watch
- apiGroups:
  - rbac.authorization.k8s.io
  resources:
  - clusterrolebindings
  verbs:
  - list
  - watch
- apiGroups:
  - ''
  resources:
  - secrets
  verbs:
  - get
  - list
  - watch
  - create
  - patch
  - delete
- apiGroups:
  - ''
  resources:
  - namespaces
  verbs:
  - get
  - list
  - watch
  - create
  - patch
  - delete
- apiGroups:
  - ''
  resources:
  - pods
  verbs:
  - list
- apiGroups:
  - ''
  resources:
  - persistentvolumeclaims
  verbs:
  - list
- apiGroups:
  - events.k8s.io
  resources:
  - events
  verbs:
  - create
  - patch
- apiGroups:
  - rbac.authorization.k8s.io
  resourceNames:
  - liaison-folder-owner
  resources:
  - rolebindings
  verbs:
  - get
  - list
  - watch
  - create
  - patch
  - delete
- apiGroups:
  - rbac.authorization.k8s.io
  resourceNames:
  - liaison-folder-owner
  resources:
  - clusterroles
  verbs:
  - get
  - list
  - watch
  - bind
- apiGroups:
  - admissionregistration.k8s.io
  resourceNames:
  - '{{ include `liaison.fullname` . }}'
  resources:
  - validatingwebhookconfigurations
  verbs:
  - get
  - list
  - watch
  - patch
- apiGroups:
  - admissionregistration.k8s.io
  resourceNames:
  - '{{ include `liaison.fullname` . }}'
  resources:
  - mutatingwebhookconfigurations
  verbs:
  - get
  - list
  - watch
  - patch
{{- end }}
{{- define "liaison.rules.ownNamespace" -}}
- apiGroups:
  - coordination.k8s.io
  resources:
  - leases
  verbs:
  - get
  - watch
  - list
  - create
  - patch
- apiGroups:
  - ''
  resourceNames:
  - liaison-token-ca
  resources:
  - configmaps
  verbs:
  - get
  - patch
{{- end }}

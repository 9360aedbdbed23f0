# helm: charts.

check "makes a chart" env -C "$scratch" helm create chart
check "packages it" helm package -d "$scratch" "$scratch/chart"
check "pushes it" helm push --plain-http "$scratch/chart-0.1.0.tgz" "oci://$host/charts"
mkdir -p "$scratch/helm-out"
check "pulls it" helm pull --plain-http -d "$scratch/helm-out" "oci://$host/charts/chart" --version 0.1.0
check "finds it identical" cmp "$scratch/chart-0.1.0.tgz" "$scratch/helm-out/chart-0.1.0.tgz"
check "shows it" helm show chart --plain-http "oci://$host/charts/chart" --version 0.1.0
check "renders it from the registry" helm template --plain-http try "oci://$host/charts/chart" --version 0.1.0

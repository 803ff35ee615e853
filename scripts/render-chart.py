"""Renders a Helm chart and prints the YAML documents.

usage: render-chart.py CHART NAMESPACE VALUES
VALUES is a JSON object. Only the chart is read; no cluster is contacted.
"""

import json
import sys

from helm_python import Chart

folder, namespace, values = sys.argv[1:]
chart = Chart.load(folder)
rendered = chart.render(json.loads(values), name="canary-controller", namespace=namespace)
for text in rendered.values():
    print("---")
    print(text)

import rkeras.tf as tf
class MyModel(tf.keras.Model):
    def __init__(self, num_classes=10):
        super().__init__()
        self.dense1 = tf.keras.layers.Dense(64, activation='relu')
        self.dropout = tf.keras.layers.Dropout(0.2)
        self.dense2 = tf.keras.layers.Dense(32, activation='relu')
        self.dense3 = tf.keras.layers.Dense(num_classes, activation='softmax')
    def call(self, inputs, training=False):
        x = self.dense1(inputs)
        x = self.dropout(x, training=training)
        x = self.dense2(x)
        return self.dense3(x)
model = MyModel(num_classes=10)
model.compile(optimizer='adam', loss='sparse_categorical_crossentropy')
# 构建模型
x = tf.random.normal([1, 784])
y = model(x)
model.summary()
